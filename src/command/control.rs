//! Where is the control store that a command works on, or the service that does it?

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::admin::{Administration, Administrator, FilePrices, PriceBoard};
use crate::config::{Config, check, reading};
use crate::identity::identities::Identities;
use crate::identity::settings::Settings;
use crate::ledger::{Durability, Files};
use crate::limits::book::{LimitBook, UseAsked};
use crate::limits::{LimitGround, Limits, Now};
use crate::store::{FILE_NAME, Store, StoreError};

use super::data::DataArguments;
use super::environment::environment;

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
}

impl StoreArguments {
    /// Opens the store. It is created only if `creates` says so.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn open(&self, creates: bool) -> Result<OpenedStore, String> {
        open_at(self.place()?, in_file(creates))
    }

    /// An empty store without a file, if the store does not exist yet. A change that fails there need not be tried on the
    /// disk, where it would leave a new and empty file behind.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn rehearsal(&self) -> Result<Option<OpenedStore>, String> {
        let place = self.place()?;
        match place.data.join(FILE_NAME).exists() {
            true => Ok(None),
            false => open_at(place, Store::in_memory).map(Some),
        }
    }

    /// The same, with the limits of file and store and what the ledger says is used of them.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn open_with_limits(&self, creates: bool) -> Result<OpenedStore, String> {
        let place = self.place()?;
        let (data, ground) = (place.data.clone(), place.ground.clone());
        let OpenedStore {
            administration, by, ..
        } = open_at(place, in_file(creates))?;
        let files = Files::in_directory(&data, Durability::Process);
        let used = move |asked: UseAsked| asked.read(&files);
        let book = Arc::new(LimitBook::new(Limits::none(), Box::new(used)));
        let administration = administration.limiting(Arc::clone(&book));
        let administration = administration.map_err(|error| error.to_string())?;
        let directory = administration.identities().directory();
        let now = Now::of_clocks();
        let used = book.prepare_file(&ground, &directory, now);
        let used = used.map_err(|error| error.to_string())?;
        book.follow_file(ground, &directory, used, now);
        Ok(OpenedStore {
            administration,
            by,
            data,
        })
    }

    /// The data directory, and what the file says beside it.
    fn place(&self) -> Result<StorePlace, String> {
        if let Some(data) = self.data.named() {
            return Ok(StorePlace {
                data: data.clone(),
                settings: Settings::default(),
                ground: LimitGround::default(),
                prices: FilePrices::default(),
            });
        }
        let Some((name, config)) = self.configuration()? else {
            return Err(
                "name the configuration with --config or MODELWAY_CONFIG, the data directory with --data, or a service \
                 with --server"
                    .to_owned(),
            );
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
            }),
            None => Err(format!(
                "`{name}` sets no `ledger.path`, so there is no control store; set it, or name the data directory with --data"
            )),
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
        let config = check::checked_with_prices(&text, &overrides).map_err(|mistakes| {
            let lines: Vec<_> = mistakes
                .iter()
                .map(|line| format!("{name}:{line}"))
                .collect();
            format!(
                "{}\ncorrect the file, or name the data directory with --data",
                lines.join("\n")
            )
        })?;
        Ok(Some((name, config)))
    }
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
) -> Result<OpenedStore, String> {
    let StorePlace {
        data,
        settings,
        ground,
        prices,
    } = place;
    let identities = Identities::new(settings)
        .map_err(|mistakes| crate::identity::directory::complaints::list(&mistakes))?;
    let store = open(&data).map_err(|error| format!("the control store {error}"))?;
    let administration = Administration::new(store, Arc::new(identities), ground.file)
        .and_then(|opened| opened.with_prices(Arc::new(PriceBoard::new(prices))));
    let files = Files::in_directory(&data, Durability::Process);
    let administration = administration.map_err(|error| error.to_string())?;
    Ok(OpenedStore {
        administration: administration.with_ledger_files(Some(files)),
        data,
        by: Administrator::at_command_line(rustix::process::getuid().as_raw()),
    })
}
