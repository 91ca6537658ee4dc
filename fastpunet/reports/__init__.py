"""What people read: tables, figures, and pages about images, models and their scores."""
