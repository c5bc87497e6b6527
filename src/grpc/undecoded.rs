//! How does a message stay undecoded until it is read where it holds up no other call?
//!
//! Decoding a large message can take tens of milliseconds: text is checked for UTF-8, and each element is built.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::server::Grpc;

use crate::error::Error;

use super::codec::LeanCodec;
use super::refusals::unreadable_message;

/// The bytes of a message.
#[derive(Debug)]
pub(super) struct Undecoded(Bytes);

impl Undecoded {
    /// A message with this encoding.
    pub(super) fn of(encoded: impl Into<Bytes>) -> Self {
        Self(encoded.into())
    }

    /// Decodes the message. Images and other bytes in it stay slices of it.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the field that cannot be read.
    pub(super) fn decode<M: Message + Default>(self) -> Result<M, Error> {
        M::decode(self.0).map_err(|error| unreadable_message(&error.to_string()))
    }
}

/// A server of methods whose requests stay undecoded and have at most `max_message_bytes`.
pub(super) fn server<T: Message + Send + 'static>(
    max_message_bytes: usize,
) -> Grpc<UndecodedCodec<T>> {
    Grpc::new(UndecodedCodec::default())
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(usize::MAX)
}

/// As [`LeanCodec`], except that it leaves requests undecoded.
#[derive(Debug)]
pub(super) struct UndecodedCodec<T>(PhantomData<T>);

impl<T> Default for UndecodedCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static> Codec for UndecodedCodec<T> {
    type Encode = T;
    type Decode = Undecoded;
    type Encoder = <LeanCodec<T, ()> as Codec>::Encoder;
    type Decoder = Unframed;

    fn encoder(&mut self) -> Self::Encoder {
        LeanCodec::<T, ()>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Unframed
    }
}

/// Takes a message out of its frame.
#[derive(Debug)]
pub(super) struct Unframed;

impl Decoder for Unframed {
    type Item = Undecoded;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Undecoded>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        Ok(Some(Undecoded(bytes)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Violation;
    use crate::grpc::v1;

    #[test]
    fn a_message_that_cannot_be_decoded_is_refused_with_its_field() {
        let text = b"\x0a\x01\xff"; // `scenario`, not UTF-8
        let refused = Undecoded(Bytes::from_static(text)).decode::<v1::GenerateRequest>();

        let Err(Error::InvalidRequest(violations)) = refused else {
            panic!("it was decoded");
        };
        let [Violation { field, what }] = &violations[..] else {
            panic!("{violations:?}");
        };
        assert_eq!(field, "scenario");
        assert!(what.starts_with("it cannot be read: "), "{what}");
    }

    #[test]
    fn data_is_not_copied_out_of_a_message() {
        let media = v1::Media {
            source: Some(v1::media::Source::Data(vec![7; 1000].into())),
            ..v1::Media::default()
        };
        let message = Bytes::from(media.encode_to_vec());
        let all = message.as_ptr_range();

        let media: v1::Media = Undecoded(message).decode().unwrap();

        let Some(v1::media::Source::Data(data)) = media.source else {
            panic!("no data");
        };
        assert!(all.contains(&data.as_ptr()));
    }
}
