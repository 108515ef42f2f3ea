"""From a Run to something to look at; builds, never prints."""
