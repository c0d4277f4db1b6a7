"""Side by side with other people's libraries, each in an environment that holds both."""
