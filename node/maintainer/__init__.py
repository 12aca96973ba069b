"""The desk of a maintainer: requests, endorsements, the feed that carries them."""
