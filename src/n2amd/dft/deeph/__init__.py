"""DeepH folders, present and legacy."""
