"""Lists of recordings and what is known of them."""
