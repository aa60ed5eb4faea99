"""What a node can say about its own monitoring: the view of a parent, and how a node's stream goes. Reads only."""
