"""An agent that learns in the pocket world."""
