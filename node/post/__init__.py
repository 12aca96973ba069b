"""The post: submitting, forwarding over links, depositing, and the evidence that comes back."""
