"""Running lessons and comparing what came of them with the manifest."""
