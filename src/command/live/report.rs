//! How is a live check reported? A line for each step, or JSON. No key and no text of a provider.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::command::summary::amount;
use crate::dispatch::target::Target;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::money::{Cost, CostSource};

/// What was found out about a target.
pub(super) struct Checked {
    target: String,
    provider: String,
    steps: Vec<StepReport>,
    /// What must not be shown, even if a provider says it.
    secrets: Vec<String>,
    /// What to do about the step that failed.
    remedy: Option<&'static str>,
    /// Whether the request was sent, so that it may cost something.
    pub(super) is_sent: bool,
    /// What it cost, if that is known.
    pub(super) cost: Option<Cost>,
}

/// A step that was made.
#[derive(Debug)]
pub(super) struct StepReport {
    name: &'static str,
    took: Duration,
    result: Result<String, String>,
}

impl Checked {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            target: target.id.clone(),
            provider: target.provider.name.clone(),
            steps: Vec::new(),
            secrets: target.provider.secret_texts(),
            remedy: None,
            is_sent: false,
            cost: None,
        }
    }

    pub(super) fn pass(&mut self, name: &'static str, took: Duration, found: String) {
        let result = Ok(self.without_secrets(found));
        self.steps.push(StepReport { name, took, result });
    }

    pub(super) fn fail(
        &mut self,
        name: &'static str,
        took: Duration,
        why: String,
        remedy: &'static str,
    ) {
        let result = Err(self.without_secrets(why));
        self.steps.push(StepReport { name, took, result });
        self.remedy = Some(remedy);
    }

    /// The request or its answer failed: the step that this is about has failed, those before it have not.
    pub(super) fn refused(&mut self, took: Duration, error: &UpstreamError) {
        let (step, remedy) = step_of(error.kind);
        let mut why = error.to_string();
        if let Some(code) = error.safe_code() {
            let _ = write!(why, " ({code})");
        }
        let has_answered = error.status.is_some();
        let is_made = |name: &str| self.steps.iter().any(|step| step.name == name);
        if has_answered && step != "http" && !is_made("http") {
            let status = error.status.unwrap_or_default();
            self.pass("http", took, format!("HTTP {status}"));
        }
        if step == "model" && !self.steps.iter().any(|step| step.name == "key") {
            self.pass("key", took, "accepted".to_owned());
        }
        self.fail(step, took, why, remedy);
    }

    /// A text in which a provider may have repeated a key.
    fn without_secrets(&self, text: String) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| match text.contains(&**secret) {
            true => text.replace(&**secret, "[secret]"),
            false => text,
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.result.is_err())
    }

    fn json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(StepReport::json).collect();
        let mut report = json!({
            "target": self.target,
            "provider": self.provider,
            "ok": !self.has_failed(),
            "steps": steps,
        });
        if let Some(failed) = self.steps.iter().find(|step| step.result.is_err()) {
            report["failed_step"] = failed.name.into();
        }
        if let Some(remedy) = self.remedy {
            report["remedy"] = remedy.into();
        }
        report["request_sent"] = self.is_sent.into();
        if let Some(cost) = &self.cost {
            report["cost_usd"] = amount(cost.nanos()).into();
            report["cost_is_complete"] = (cost.source() != CostSource::Unknown).into();
        }
        report
    }
}

impl StepReport {
    fn json(&self) -> Value {
        let (is_ok, detail) = match &self.result {
            Ok(found) => (true, found),
            Err(why) => (false, why),
        };
        json!({
            "step": self.name,
            "ok": is_ok,
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "detail": detail,
        })
    }
}

/// The step that a failure is about, and what to do about it.
fn step_of(kind: UpstreamErrorKind) -> (&'static str, &'static str) {
    match kind {
        UpstreamErrorKind::Authentication => (
            "key",
            "check the provider's `api_key` and `auth`: the key may be wrong, expired or of another provider",
        ),
        UpstreamErrorKind::Permission => (
            "key",
            "give the key the right to use this model at the provider",
        ),
        UpstreamErrorKind::QuotaExhausted => (
            "key",
            "add credit or raise the limit of the account at the provider",
        ),
        UpstreamErrorKind::ModelNotFound => (
            "model",
            "check `model`, which is its name at the provider, and the path in `base_url`",
        ),
        UpstreamErrorKind::InvalidRequest
        | UpstreamErrorKind::UnsupportedByModel
        | UpstreamErrorKind::ContextLength
        | UpstreamErrorKind::ContentBlocked
        | UpstreamErrorKind::Rejected => (
            "http",
            "check `wire_format`, `base_url` and `dialect` against the provider's documentation",
        ),
        UpstreamErrorKind::RateLimited | UpstreamErrorKind::Overloaded => (
            "http",
            "check again later, or raise the rate limit at the provider",
        ),
        UpstreamErrorKind::ServerError => (
            "http",
            "check again later, and look at the provider's status page",
        ),
        UpstreamErrorKind::Unreachable
        | UpstreamErrorKind::NotTaken
        | UpstreamErrorKind::Disconnected => (
            "http",
            "check that `base_url` is the address of an HTTP API, and `http` if the host speaks one version only",
        ),
        UpstreamErrorKind::Shortage => ("http", "raise the limit of open files of this process"),
        UpstreamErrorKind::TimedOut => (
            "http",
            "check that the model is not overloaded, and that nothing between holds streams back",
        ),
        UpstreamErrorKind::Malformed
        | UpstreamErrorKind::Truncated
        | UpstreamErrorKind::EmptyAnswer => (
            "event",
            "check `wire_format` and the path in `base_url`: what answers does not speak this format",
        ),
    }
}

/// What the requests have cost together, in words.
fn cost(checked: &[Checked]) -> String {
    let sent = checked.iter().filter(|one| one.is_sent);
    let known = sent.clone().filter_map(|one| one.cost.as_ref());
    let sum = known
        .clone()
        .fold(0_i64, |sum, cost| sum.saturating_add(cost.nanos()));
    let complete = known
        .filter(|cost| cost.source() != CostSource::Unknown)
        .count();
    // A refused request costs nothing.
    let charged = sent
        .filter(|one| one.cost.is_some() || !one.has_failed())
        .count();
    match charged - complete {
        0 => format!("{} USD", amount(sum)),
        unknown => format!("{} USD, and {unknown} of unknown cost", amount(sum)),
    }
}

/// A line for each step, and the sum.
pub(super) fn table(checked: &[Checked]) -> String {
    let mut text = String::new();
    for one in checked {
        let verdict = if one.has_failed() { "FAILED" } else { "ok" };
        let _ = writeln!(text, "{}  {verdict}", one.target);
        for StepReport { name, took, result } in &one.steps {
            let (mark, detail) = match result {
                Ok(found) => ("ok", found),
                Err(why) => ("FAILED", why),
            };
            let millis = took.as_millis();
            let _ = writeln!(text, "  {name:<7} {mark:<6} {millis:>6} ms  {detail}");
        }
        if let Some(remedy) = one.remedy {
            let _ = writeln!(text, "  remedy: {remedy}");
        }
    }
    let failed = checked.iter().filter(|one| one.has_failed()).count();
    let sent = checked.iter().filter(|one| one.is_sent).count();
    let _ = write!(
        text,
        "{} of {} targets answer; {sent} requests cost {}",
        checked.len() - failed,
        checked.len(),
        cost(checked)
    );
    text
}

/// The same as JSON.
pub(super) fn as_json(checked: &[Checked]) -> String {
    let targets: Vec<_> = checked.iter().map(Checked::json).collect();
    let known = checked.iter().filter_map(|one| one.cost.as_ref());
    let sum = known.fold(0_i64, |sum, cost| sum.saturating_add(cost.nanos()));
    json!({
        "ok": !checked.iter().any(Checked::has_failed),
        "targets": targets,
        "requests": checked.iter().filter(|one| one.is_sent).count(),
        "cost_usd": amount(sum),
    })
    .to_string()
}
