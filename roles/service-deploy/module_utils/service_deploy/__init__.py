"""The node's side of service-deploy: releases, units and the firewall of the services on one node."""
