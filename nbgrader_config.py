"""The repository's root is the nbgrader course; `nbgrader` commands run here."""

from pathlib import Path

from autograder.late import policy_file

c = get_config()  # noqa: F821  nbgrader puts it here

c.CourseDirectory.course_id = "deep-learning-for-visual-computing"
# c.CourseDirectory.db_url = "postgresql+psycopg://HOST/gradebook"  # in place of gradebook.db

c.AssignLatePenalties.plugin_class = "autograder.late.LatePolicyPlugin"
c.LatePolicyPlugin.policy_file = policy_file(Path(__file__).parent)
