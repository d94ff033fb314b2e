"""What is fitted: images and, later, surfaces and posed photographs."""
