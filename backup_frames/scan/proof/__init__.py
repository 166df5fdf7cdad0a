"""Are the assumptions true of this service? Asked before and after a read, and by doctor."""
