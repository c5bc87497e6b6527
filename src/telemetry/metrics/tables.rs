//! Which series does a configuration imply, and where is each call counted among them?
//!
//! Every scenario, model and provider has a set of counters.

use std::sync::Arc;

use tokio::time::Instant;

use crate::telemetry::names::GenAiNames;

use super::configured::{Configured, ConfiguredModel, ShownModel, ShownNames};
use super::groups::CallGroups;
use super::series::{OfGenAi, OfModel, OfProvider, OfScenario};
use super::shown::SeriesSets;

/// The scenario under which calls that name a model are counted.
pub const DIRECT: &str = "_model";

/// The scenario under which a call is counted that names none that is known, or whose message could not be read.
pub(super) const NEITHER: &str = "_none";

/// The series of the present configuration, and of earlier ones for a while.
#[derive(Debug)]
pub(super) struct Tables {
    groups: CallGroups,
    genai_names: GenAiNames,
    pub(super) scenarios: SeriesSets<String, OfScenario>,
    /// By the id of the model.
    pub(super) models: SeriesSets<String, OfModel>,
    /// By the provider, and the model's name there. Several ids may stand for one.
    genai: SeriesSets<(String, String), OfGenAi>,
    pub(super) providers: SeriesSets<String, OfProvider>,
}

impl Tables {
    /// The series that do not depend on a configuration. Calls are counted in these `groups`.
    pub(super) fn new(groups: CallGroups, genai_names: GenAiNames) -> Self {
        let mut tables = Self {
            groups,
            genai_names,
            scenarios: SeriesSets::new(),
            models: SeriesSets::new(),
            genai: SeriesSets::new(),
            providers: SeriesSets::new(),
        };
        tables.configure(&Configured::default(), Instant::now());
        tables
    }

    /// The groups in which calls are counted.
    pub(super) fn groups(&self) -> &CallGroups {
        &self.groups
    }

    /// Exchanges the names. What stays keeps its counts; what is new begins at 0.
    pub(super) fn configure(&mut self, configured: &Configured, now: Instant) {
        let Configured {
            scenarios,
            models,
            providers,
        } = configured;
        self.scenarios.let_go(now);
        self.models.let_go(now);
        self.genai.let_go(now);
        self.providers.let_go(now);
        let groups = self.groups.count();
        let names = scenarios.iter().map(String::as_str);
        for name in names.chain([DIRECT, NEITHER]) {
            self.scenarios
                .keep(name.to_owned(), || OfScenario::new(groups));
        }
        for names in models {
            let at_provider = (names.provider.clone(), names.model.clone());
            let genai_names = self.genai_names;
            let genai = self.genai.keep(at_provider, || OfGenAi::new(genai_names));
            self.models
                .keep(names.id.clone(), || OfModel::new(names, genai));
        }
        for name in providers {
            self.providers.keep(name.clone(), OfProvider::default);
        }
    }

    /// The names of all that is shown.
    pub(super) fn shown(&self) -> ShownNames {
        let scenarios = self.scenarios.iter().map(|(name, _)| name);
        let is_name = |name: &&String| *name != DIRECT && *name != NEITHER;
        let models = self.models.iter().map(|(id, of)| ShownModel {
            id: id.clone(),
            provider: of.provider.clone(),
            label: of.model.clone(),
        });
        ShownNames {
            scenarios: scenarios.filter(is_name).cloned().collect(),
            models: models.collect(),
            providers: self
                .providers
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    /// Under which of the GenAI names attempts are counted.
    pub(super) fn genai_names(&self) -> GenAiNames {
        self.genai_names
    }

    /// The series of GenAI names in order: provider, and model as named there.
    pub(super) fn genai(&self) -> impl Iterator<Item = (&(String, String), &Arc<OfGenAi>)> {
        self.genai.iter()
    }

    /// Whether series have been gone for so long that they must no longer be shown.
    pub(super) fn have_old(&self, now: Instant) -> bool {
        self.scenarios.has_old(now)
            || self.models.has_old(now)
            || self.genai.has_old(now)
            || self.providers.has_old(now)
    }

    /// Drops the series of what left the configuration long ago.
    pub(super) fn drop_old(&mut self, now: Instant) {
        self.scenarios.drop_old(now);
        self.models.drop_old(now);
        self.genai.drop_old(now);
        self.providers.drop_old(now);
    }

    /// The series of a scenario for a call that ends after they were dropped: the call began before the configuration
    /// lost the scenario. They are shown for a while.
    pub(super) fn bring_back_scenario(&mut self, name: &str, now: Instant) -> Arc<OfScenario> {
        let groups = self.groups.count();
        self.scenarios
            .bring_back(name.to_owned(), now, || OfScenario::new(groups))
    }

    /// Like [`Tables::bring_back_scenario`], for an attempt on a model.
    pub(super) fn bring_back_model(
        &mut self,
        names: &ConfiguredModel,
        now: Instant,
    ) -> Arc<OfModel> {
        let ConfiguredModel {
            id,
            provider,
            model,
        } = names;
        let at_provider = (provider.clone(), model.clone());
        let genai_names = self.genai_names;
        let genai = self
            .genai
            .bring_back(at_provider, now, || OfGenAi::new(genai_names));
        self.models
            .bring_back(id.clone(), now, || OfModel::new(names, genai))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::groups::Settings;
    use super::*;

    fn configured(scenarios: &[&str], models: &[(&str, &str)]) -> Configured {
        let models = models.iter().map(|(provider, model)| ConfiguredModel {
            id: format!("{provider}/{model}"),
            provider: (*provider).to_owned(),
            model: (*model).to_owned(),
        });
        Configured {
            scenarios: scenarios.iter().map(|&name| name.to_owned()).collect(),
            models: models.collect(),
            providers: Vec::new(),
        }
    }

    fn no_groups() -> CallGroups {
        CallGroups::new(Vec::new(), Settings::default())
    }

    fn names(tables: &Tables) -> Vec<&str> {
        let scenarios = tables.scenarios.iter().map(|(name, _)| &**name);
        let models = tables.models.iter().map(|(name, _)| &**name);
        scenarios.chain(models).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_the_configuration_is_shown_for_five_minutes() {
        let mut tables = Tables::new(no_groups(), GenAiNames::Current);
        tables.configure(&configured(&["a", "b"], &[("p", "m")]), Instant::now());
        tables.scenarios.get("a").unwrap().replayed.add(7);

        tables.configure(&configured(&["a"], &[]), Instant::now());

        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(!tables.have_old(Instant::now()));
        tables.drop_old(Instant::now());
        assert_eq!(names(&tables), ["_model", "_none", "a", "b", "p/m"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(tables.have_old(Instant::now()));
        tables.drop_old(Instant::now());
        assert_eq!(names(&tables), ["_model", "_none", "a"]);
        assert_eq!(tables.scenarios.get("a").unwrap().replayed.count(), 7);
        assert_eq!(tables.genai().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_in_time_goes_on_counting() {
        let mut tables = Tables::new(no_groups(), GenAiNames::Current);
        tables.configure(&configured(&["a"], &[]), Instant::now());
        tables.scenarios.get("a").unwrap().replayed.add(7);
        tables.configure(&configured(&[], &[]), Instant::now());
        tokio::time::advance(Duration::from_secs(200)).await;

        tables.configure(&configured(&["a"], &[]), Instant::now());

        tokio::time::advance(Duration::from_secs(200)).await;
        tables.drop_old(Instant::now());
        assert_eq!(tables.scenarios.get("a").unwrap().replayed.count(), 7);
    }

    #[test]
    fn two_ids_for_one_model_share_what_is_told_by_its_name_at_the_provider() {
        let mut tables = Tables::new(no_groups(), GenAiNames::Current);
        let mut names = configured(&[], &[("p", "m"), ("p", "n")]);
        names.models[1].model = "m".to_owned();

        tables.configure(&names, Instant::now());

        let [one, other] = ["p/m", "p/n"].map(|id| tables.models.get(id).unwrap());
        assert!(Arc::ptr_eq(&one.genai, &other.genai));
        assert_eq!(tables.genai().count(), 1);
        assert_eq!((&*other.provider, &*other.model), ("p", "n"));
    }
}
