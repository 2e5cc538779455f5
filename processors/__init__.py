"""The quixstreams applications: raw topics to typed topics. `app` is the frame, each other module one application."""
