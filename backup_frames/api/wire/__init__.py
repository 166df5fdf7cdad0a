"""What carries requests and bodies: connections with a deadline, proxies, unpacked bounded bytes."""
