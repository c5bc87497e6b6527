//! What do the metrics of a service show? Its text for Prometheus, read by a small parser of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use super::Gateway;

/// Much longer than the last call takes to be counted.
const PROMPTLY: Duration = Duration::from_secs(20);

/// The samples of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scraped {
    /// By name and labels.
    samples: BTreeMap<(String, BTreeMap<String, String>), String>,
}

impl Scraped {
    /// Reads a text.
    ///
    /// # Panics
    /// The text breaks a rule of the format, or has a series twice.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut samples = BTreeMap::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (keyword, name) = (words.next().unwrap(), words.next().unwrap());
                let about = words.next().unwrap();
                match keyword {
                    "HELP" => family = name.to_owned(),
                    "TYPE" => {
                        assert_eq!(name, family, "HELP comes before TYPE");
                        assert!(["counter", "gauge", "histogram"].contains(&about), "{line}");
                    }
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (name, labels, value) = sample(line);
            assert!(name.starts_with(&family), "{line} stands under {family}");
            let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
            assert!(is_number, "{line}");
            let twice = samples.insert((name, labels), value);
            assert_eq!(twice, None, "{line}");
        }
        Self { samples }
    }

    /// The present counts of all counters and histograms, by series.
    pub(crate) fn counters(&self) -> BTreeMap<String, f64> {
        let suffixes = ["_total", "_bucket", "_count", "_sum"];
        let samples = self.samples.iter();
        let counters =
            samples.filter(|((name, _), _)| suffixes.iter().any(|suffix| name.ends_with(suffix)));
        counters
            .map(|((name, labels), value)| (format!("{name}{labels:?}"), value.parse().unwrap()))
            .collect()
    }

    /// The number of series.
    pub(crate) fn series(&self) -> usize {
        self.samples.len()
    }

    /// Every series, without its value.
    pub(crate) fn names(&self) -> Vec<&(String, BTreeMap<String, String>)> {
        self.samples.keys().collect()
    }

    /// The names of all samples.
    pub(crate) fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.samples.keys().map(|(name, _)| &**name).collect();
        names.dedup();
        names
    }

    /// The values of the samples of this name that have these labels, and perhaps others.
    fn values(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &str> {
        let has = |all: &BTreeMap<String, String>| {
            let mut labels = labels.iter();
            labels.all(|(label, value)| all.get(*label).is_some_and(|has| has == value))
        };
        self.samples
            .iter()
            .filter(move |((of, all), _)| of == name && has(all))
            .map(|(_, value)| &**value)
    }

    /// The sum of the samples of this name that have these labels. There must be some.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values: Vec<f64> = self
            .values(name, labels)
            .map(|value| value.parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "there is no {name} {labels:?}");
        values.iter().sum()
    }

    /// Like [`Scraped::sum`], in billionths and without rounding.
    pub(crate) fn nanos(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let values = self.values(name, labels);
        values
            .map(|value| {
                let (whole, part) = value.split_once('.').unwrap_or((value, ""));
                format!("{whole}{part:0<9}").parse::<i64>().unwrap()
            })
            .sum()
    }
}

/// The name, the labels and the value of a sample.
fn sample(line: &str) -> (String, BTreeMap<String, String>, String) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), BTreeMap::new(), value.to_owned());
    };
    let mut rest = labels.strip_suffix('}').unwrap();
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (at, '"') => break at,
                (_, other) => value.push(other),
            }
        };
        let twice = labels.insert(label.to_owned(), value);
        assert_eq!(twice, None, "{line}");
        rest = quoted[end + 1..].trim_start_matches(',');
    }
    (name.to_owned(), labels, value.to_owned())
}

impl Gateway {
    /// What its metrics show now.
    pub(crate) fn scraped(&self) -> Scraped {
        Scraped::read(&self.metrics.text())
    }

    /// What its metrics show once `calls` have ended.
    pub(crate) async fn scraped_after(&self, calls: usize) -> Scraped {
        let all_have_ended = async {
            loop {
                let scraped = self.scraped();
                if scraped.sum("modelway_calls_total", &[]) >= calls as f64 {
                    return scraped;
                }
                tokio::task::yield_now().await;
            }
        };
        let scraped = timeout(PROMPTLY, all_have_ended).await;
        scraped.expect("the calls end")
    }
}
