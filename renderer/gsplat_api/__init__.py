"""gsplat's interface on our passes."""
