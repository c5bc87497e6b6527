//! In which groups are calls counted? By the callers that have a label of their own, and by the labels of calls that
//! `[metrics] labels` names. Which groups there are is known at the start, so that no call adds one.

use std::sync::Arc;

use crate::identity::Labels;

use super::readings::LabelValue;

/// What the callers without a label of their own are called.
const OTHER_CALLERS: &str = "_other";

/// What the values of a label are called that the configuration does not list.
pub const OTHER_VALUES: &str = "(other)";

/// Labels that metrics of calls have in addition to the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Labels of calls that are labels of metrics.
    pub labels: Vec<GroupLabel>,
}

/// A label of calls that is a label of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLabel {
    /// Its key.
    pub key: Arc<str>,
    /// The values with series of their own. All others are counted as [`OTHER_VALUES`].
    pub values: Vec<Arc<str>>,
}

impl Settings {
    /// The number of groups that these labels make.
    pub fn groups(&self) -> usize {
        let sizes = self.labels.iter().map(GroupLabel::size);
        sizes.fold(1, usize::saturating_mul)
    }
}

impl GroupLabel {
    /// A position for each value, one for all others, and one for calls without the label.
    fn size(&self) -> usize {
        self.values.len() + 2
    }

    fn position(&self, labels: &Labels) -> usize {
        let Some(value) = labels.get(&self.key) else {
            return self.values.len() + 1;
        };
        let listed = self.values.iter().position(|listed| listed == value);
        listed.unwrap_or(self.values.len())
    }

    fn value(&self, position: usize) -> LabelValue {
        match self.values.get(position) {
            Some(value) => value.to_string().into(),
            None if position == self.values.len() => OTHER_VALUES.into(),
            None => "".into(),
        }
    }
}

/// The groups in which calls are counted.
#[derive(Debug)]
pub(super) struct CallGroups {
    /// The callers that have a label of their own; empty if callers are no label.
    callers: Vec<String>,
    labels: Vec<GroupLabel>,
}

impl CallGroups {
    pub(super) fn new(callers: Vec<String>, settings: Settings) -> Self {
        Self {
            callers,
            labels: settings.labels,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let sizes = self.labels.iter().map(GroupLabel::size);
        self.caller_positions() * sizes.product::<usize>()
    }

    /// The group of a call of this caller with these labels. The caller's name is asked for only if it matters.
    pub(super) fn of(&self, caller: impl FnOnce() -> String, labels: &Labels) -> usize {
        let mut group = 0;
        if !self.callers.is_empty() {
            let caller = caller();
            let listed = self.callers.iter().position(|other| *other == caller);
            group = listed.unwrap_or(self.callers.len());
        }
        for label in &self.labels {
            group = group * label.size() + label.position(labels);
        }
        group
    }

    /// The labels that tell this group apart in metrics.
    pub(super) fn labels_of(&self, mut group: usize) -> Vec<(LabelValue, LabelValue)> {
        let mut labels = Vec::with_capacity(self.labels.len() + 1);
        for label in self.labels.iter().rev() {
            let value = label.value(group % label.size());
            labels.push((label.key.to_string().into(), value));
            group /= label.size();
        }
        if !self.callers.is_empty() {
            let caller = self.callers.get(group);
            let caller = caller.map_or(OTHER_CALLERS, String::as_str);
            labels.push(("caller".into(), caller.to_owned().into()));
        }
        labels.reverse();
        labels
    }

    fn caller_positions(&self) -> usize {
        match self.callers.len() {
            0 => 1,
            named => named + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(key: &str, values: &[&str]) -> GroupLabel {
        GroupLabel {
            key: key.into(),
            values: values.iter().map(|value| (*value).into()).collect(),
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(key, value): &(&str, &str)| ((*key).into(), (*value).into());
        pairs.iter().map(owned).collect()
    }

    fn shown(groups: &CallGroups, caller: &str, of_call: &[(&str, &str)]) -> Vec<String> {
        let group = groups.of(|| caller.to_owned(), &labels(of_call));
        assert!(group < groups.count());
        let labels = groups.labels_of(group).into_iter();
        labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn a_caller_that_is_not_listed_is_one_of_the_others() {
        let groups = CallGroups::new(vec!["search".to_owned()], Settings::default());

        assert_eq!(shown(&groups, "search", &[]), ["caller=search"]);
        assert_eq!(shown(&groups, "junk", &[]), ["caller=_other"]);
        let without = CallGroups::new(Vec::new(), Settings::default());
        assert_eq!(shown(&without, "junk", &[]), [] as [&str; 0]);
        assert_eq!(without.count(), 1);
    }

    #[test]
    fn every_combination_of_callers_and_values_is_a_group_of_its_own() {
        let settings = Settings {
            labels: vec![label("product", &["ads", "feed"]), label("env", &["prod"])],
        };
        assert_eq!(settings.groups(), 4 * 3);
        let groups = CallGroups::new(vec!["search".to_owned()], settings);
        assert_eq!(groups.count(), 2 * 4 * 3);

        let told = |caller: &str, of_call: &[(&str, &str)]| shown(&groups, caller, of_call);
        assert_eq!(
            told(
                "search",
                &[("product", "feed"), ("env", "prod"), ("run", "7")]
            ),
            ["caller=search", "product=feed", "env=prod"]
        );
        assert_eq!(
            told("x", &[("product", "junk")]),
            ["caller=_other", "product=(other)", "env="]
        );
        let mut all: Vec<_> = (0..groups.count())
            .map(|group| groups.labels_of(group))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), groups.count());
    }
}
