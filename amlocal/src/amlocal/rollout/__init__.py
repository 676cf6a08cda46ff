"""A rollout that guards itself: traffic moves to another deployment in steps, and back when that one is worse."""
