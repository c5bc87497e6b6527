//! How do spans and metrics get to a collector?

mod settings;

pub use self::settings::{Compression, Destination, OtlpSignal, Protocol, Settings};
