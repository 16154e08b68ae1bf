"""The repository's root is the nbgrader course; `nbgrader` commands run here."""
c = get_config()  # noqa: F821  nbgrader puts it here

c.CourseDirectory.course_id = "deep-learning-for-visual-computing"
