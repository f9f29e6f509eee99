"""Several servers as one: a registry that members join, and a gateway that routes to them."""
