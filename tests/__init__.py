"""What holds, tried from outside each room."""
