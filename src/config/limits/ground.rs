//! What does the configuration say that limits of the store are judged by?

use std::sync::Arc;

use crate::config::Config;
use crate::dispatch::target::Target;
use crate::limits::{ConfiguredTarget, LedgerLack, LimitGround};

impl Config {
    /// What limits stand on, if the configuration is that of the file of this name.
    pub fn limit_ground(&self, file: &str) -> LimitGround {
        let target = |scenario: &Arc<str>, target: &Target| ConfiguredTarget {
            scenario: Arc::clone(scenario),
            provider: target.provider.name.as_str().into(),
            model: target.id.as_str().into(),
            has_price: target.prices.are_known(),
        };
        let none = Arc::from("");
        let mut targets: Vec<_> = self
            .catalog
            .targets
            .values()
            .map(|it| target(&none, it))
            .collect();
        let mut scenarios = Vec::new();
        for (name, scenario) in &self.catalog.scenarios {
            let name = Arc::from(name.as_str());
            targets.extend(scenario.targets.iter().map(|it| target(&name, it)));
            scenarios.push(name);
        }
        LimitGround {
            file: file.to_owned(),
            limits: self.limits.clone(),
            scenarios: Some(scenarios),
            targets,
            lack: LedgerLack::of(&self.ledger),
        }
    }
}
