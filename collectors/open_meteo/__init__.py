"""Weather and air quality from Open-Meteo, and a simulator of it for `outbox demo` and tests."""
