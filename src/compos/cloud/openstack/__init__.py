"""OpenStack, by openstacksdk: Glance and Nova."""
