"""What differs between photos beside the scene, fitted with the splats: exposure, poses."""
