//! Where is the control store that a command works on, or the service that does it?

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::admin::{Administration, Administrator, FilePrices, PriceBoard, UnusableStore};
use crate::config::{Config, check, reading};
use crate::identity::directory::complaints;
use crate::identity::identities::Identities;
use crate::identity::settings::Settings;
use crate::ledger::{Durability, Files};
use crate::limits::book::{LimitBook, UseAsked};
use crate::limits::{LimitGround, Limits, Now};
use crate::store::{FILE_NAME, Store, StoreError};

use super::data::DataArguments;
use super::environment::environment;
use super::nothing_done::NothingDone;

/// What to do where nothing names a store.
const NAMELESS: &str = "name the configuration with --config or MODELWAY_CONFIG, the data directory with --data, or a \
                        service with --server";

/// Where accounts and keys are kept.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreArguments {
    #[command(flatten)]
    data: DataArguments,
}

/// A store that a command works on.
pub(super) struct OpenedStore {
    pub(super) administration: Administration,
    /// Who works on it: the user that runs the command.
    pub(super) by: Administrator,
    /// The data directory that it is in.
    pub(super) data: PathBuf,
}

/// Where a store is, and what the configuration says beside it.
struct StorePlace {
    data: PathBuf,
    settings: Settings,
    ground: LimitGround,
    prices: FilePrices,
    /// Whether the directory is named in place of the configuration, so that nothing is known of what that says.
    is_alone: bool,
}

impl StoreArguments {
    /// Opens the store. It is created only if `creates` says so.
    ///
    /// # Errors
    /// [`NothingDone`].
    pub(super) fn open(&self, creates: bool) -> Result<OpenedStore, NothingDone> {
        open_at(self.place()?, in_file(creates))
    }

    /// Opens the store for what is in it alone. Accounts, limits and prices of the configuration do not matter, nor do
    /// mistakes in it.
    ///
    /// # Errors
    /// [`NothingDone`].
    pub(super) fn open_alone(&self) -> Result<Store, NothingDone> {
        if self.data.named().is_none() && self.data.config().is_none() {
            return Err(NothingDone::Usage(NAMELESS.to_owned()));
        }
        let data = self.data.directory().map_err(NothingDone::Usage)?;
        Ok(Store::open_existing(&data)?)
    }

    /// An empty store without a file, if the store does not exist yet. A change that fails there need not be tried on the
    /// disk, where it would leave a new and empty file behind.
    ///
    /// # Errors
    /// [`NothingDone`].
    pub(super) fn rehearsal(&self) -> Result<Option<OpenedStore>, NothingDone> {
        let place = self.place()?;
        let path = place.data.join(FILE_NAME);
        match path.try_exists() {
            Ok(true) => Ok(None),
            Ok(false) => open_at(place, Store::in_memory).map(Some),
            Err(error) => Err(NothingDone::unreadable(&path, &error)),
        }
    }

    /// The same, with the limits of file and store and what the ledger says is used of them.
    ///
    /// # Errors
    /// [`NothingDone`].
    pub(super) fn open_with_limits(&self, creates: bool) -> Result<OpenedStore, NothingDone> {
        let place = self.place()?;
        let (data, ground, is_alone) = (place.data.clone(), place.ground.clone(), place.is_alone);
        let OpenedStore {
            administration, by, ..
        } = open_at(place, in_file(creates))?;
        let files = Files::in_directory(&data, Durability::Process);
        let used = move |asked: UseAsked| asked.read(&files);
        let book = Arc::new(LimitBook::new(Limits::none(), Box::new(used)));
        let administration = administration.limiting(Arc::clone(&book));
        let administration = administration.map_err(|error| unusable(error, is_alone))?;
        let directory = administration.identities().directory();
        let now = Now::of_clocks();
        let used = book.prepare_file(&ground, &directory, now);
        let used = used.map_err(|error| NothingDone::Failed(error.to_string()))?;
        book.follow_file(ground, &directory, used, now);
        Ok(OpenedStore {
            administration,
            by,
            data,
        })
    }

    /// The data directory, and what the file says beside it.
    fn place(&self) -> Result<StorePlace, NothingDone> {
        if let Some(data) = self.data.named() {
            return Ok(StorePlace {
                data: data.clone(),
                settings: Settings::default(),
                ground: LimitGround::default(),
                prices: FilePrices::default(),
                is_alone: true,
            });
        }
        let Some((name, config)) = self.configuration().map_err(NothingDone::Usage)? else {
            return Err(NothingDone::Usage(NAMELESS.to_owned()));
        };
        let ground = config.limit_ground(&name);
        let prices = FilePrices {
            models: Some(config.catalog.targets.keys().cloned().collect()),
            prices: config.prices,
        };
        match config.ledger.path {
            Some(data) => Ok(StorePlace {
                data,
                settings: config.identity,
                ground,
                prices,
                is_alone: false,
            }),
            None => Err(NothingDone::Usage(format!(
                "`{name}` sets no `ledger.path`, so there is no control store; set it, or name the data directory with --data"
            ))),
        }
    }

    /// The configuration, with its name; `None` if none is given.
    ///
    /// # Errors
    /// It cannot be read, or has mistakes.
    pub(super) fn configuration(&self) -> Result<Option<(String, Config)>, String> {
        let overrides = environment();
        let Some(path) = self.data.config() else {
            return Ok(None);
        };
        let name = path.display().to_string();
        let text = reading::configuration(&path).map_err(|error: io::Error| {
            format!("`{name}` cannot be read: {}", reading::why(&error))
        })?;
        let config = check::checked_with_prices(&name, &text, &overrides).map_err(|mistakes| {
            format!(
                "{}\ncorrect that, or name the data directory with --data",
                mistakes.join("\n")
            )
        })?;
        Ok(Some((name, config)))
    }
}

/// Why a store is of no use beside what is known of the configuration.
fn unusable(error: UnusableStore, is_alone: bool) -> NothingDone {
    let conflict = match error {
        UnusableStore::Store(error) => return error.into(),
        UnusableStore::Use(error) => return NothingDone::Failed(error.to_string()),
        // Nothing is wrong with the store where the configuration may have what it lacks, so no remedy of the store helps.
        UnusableStore::Mistakes(mistakes) if is_alone => {
            let found: Vec<_> = mistakes.into_iter().map(|mistake| mistake.what).collect();
            found.join("; ")
        }
        error @ (UnusableStore::Mistakes(_)
        | UnusableStore::Prices(_)
        | UnusableStore::Limits(_)) => error.to_string(),
    };
    NothingDone::Usage(match is_alone {
        true => format!(
            "{conflict}; the configuration of the service may tell more: name it with --config, such as --config \
             modelway.toml, in place of --data"
        ),
        false => conflict,
    })
}

/// Opens the store of a directory, and creates it if it may.
fn in_file(creates: bool) -> fn(&Path) -> Result<Store, StoreError> {
    match creates {
        true => Store::create,
        false => Store::open_existing,
    }
}

fn open_at(
    place: StorePlace,
    open: fn(&Path) -> Result<Store, StoreError>,
) -> Result<OpenedStore, NothingDone> {
    let StorePlace {
        data,
        settings,
        ground,
        prices,
        is_alone,
    } = place;
    let identities = Identities::new(settings)
        .map_err(|mistakes| NothingDone::Usage(complaints::list(&mistakes)))?;
    let store = open(&data)?;
    let administration = Administration::new(store, Arc::new(identities), ground.file)
        .and_then(|opened| opened.with_prices(Arc::new(PriceBoard::new(prices))));
    let files = Files::in_directory(&data, Durability::Process);
    let administration = administration.map_err(|error| unusable(error, is_alone))?;
    Ok(OpenedStore {
        administration: administration.with_ledger_files(Some(files)),
        data,
        by: Administrator::at_command_line(rustix::process::getuid().as_raw()),
    })
}
