//! Does a target reject every request, or only some? A streak of rejections, which any answer ends.

/// A target that rejects this many requests in a row, and answers none meanwhile, rejects all of them.
///
/// A caller may send requests that a firewall in front of one provider dislikes. Where others send requests, too, so
/// long a streak without an answer is unlikely even if half of all requests are disliked.
const LONGEST_STREAK: u32 = 20;

/// Requests that a target has rejected in a row without saying whose fault that is.
#[derive(Debug, Default)]
pub(super) struct Rejections(u32);

impl Rejections {
    /// Counts a rejection. Returns whether the target rejects every request.
    pub(super) fn rejected(&mut self) -> bool {
        self.0 = self.0.saturating_add(1);
        self.0 >= LONGEST_STREAK
    }

    /// The target has answered a request.
    pub(super) fn answered(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_streak_without_an_answer_shows_that_every_request_is_rejected() {
        let mut rejections = Rejections::default();
        for _ in 1..LONGEST_STREAK {
            assert!(!rejections.rejected());
        }
        rejections.answered();

        let streak: Vec<bool> = (0..=LONGEST_STREAK)
            .map(|_| rejections.rejected())
            .collect();

        let first = streak.iter().position(|all| *all);
        assert_eq!(first, Some(LONGEST_STREAK as usize - 1));
        assert!(streak[first.unwrap()..].iter().all(|all| *all));
    }
}
