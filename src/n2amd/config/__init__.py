"""Options of a job as pydantic models, a file a section; the schema and the reference page come from them."""
