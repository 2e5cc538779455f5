"""The quixstreams applications: raw topics to typed topics. `app` is the frame, each other module one application."""

import contextlib
import warnings

# quixstreams imports authlib, which announces its own plans, in no log format, at every start of ours.
with contextlib.suppress(ImportError):
    from authlib.deprecate import AuthlibDeprecationWarning

    warnings.filterwarnings("ignore", category=AuthlibDeprecationWarning)
