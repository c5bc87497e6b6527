//! Which kinds of content besides text does a model read and write?

use super::{Feature, Features};

/// A kind of content besides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Pictures.
    Image,
    /// Documents such as PDF.
    Document,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
}

impl Modality {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Image, Self::Document, Self::Audio, Self::Video];

    /// Name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// What a model can do that reads it, in one way or another.
    pub fn features(self) -> Features {
        let ways = match self {
            Self::Image => [Feature::ImageData, Feature::ImageUri],
            Self::Document => [Feature::DocumentData, Feature::DocumentUri],
            Self::Audio => [Feature::AudioData, Feature::AudioUri],
            Self::Video => [Feature::VideoData, Feature::VideoUri],
        };
        ways.into_iter().collect()
    }

    /// What a model reads that can do this, in the order of declaration.
    pub fn read_by(features: Features) -> impl Iterator<Item = Self> {
        let is_read = move |modality: &Self| modality.features().and(features) != Features::NONE;
        Self::ALL.into_iter().filter(is_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_reads_follows_from_what_it_can_do() {
        let can = Features::NONE
            .with(Feature::Tools)
            .with(Feature::VideoUri)
            .with(Feature::ImageData);

        let read: Vec<_> = Modality::read_by(can).map(Modality::name).collect();

        assert_eq!(read, ["image", "video"]);
        assert_eq!(Modality::read_by(Features::ALL).count(), 4);
        let of_all = Modality::ALL
            .into_iter()
            .flat_map(|one| one.features().iter().collect::<Vec<_>>());
        let of_all = of_all.chain([Feature::StoredFile]);
        assert_eq!(of_all.collect::<Features>(), Features::MEDIA);
    }
}
