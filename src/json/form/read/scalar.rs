//! How is a number, a text or a truth value written as a field?

use prost::encoding::{WireType, encode_key, encode_varint};

use crate::json::form::types::{JsonField, JsonKind, OwnForm};
use crate::json::form::{base, times};

use super::primitive::Primitive;
use super::{FormReading, VALUE_BOOL, VALUE_NUMBER, VALUE_TEXT};

impl FormReading<'_> {
    /// Writes a number, a text or a truth value as a field of this kind.
    pub(super) fn scalar<E: serde::de::Error>(
        &mut self,
        field: &JsonField,
        sent: Primitive<'_>,
    ) -> Result<(), E> {
        let number = field.number;
        let written = match field.kind {
            JsonKind::Message(place) => return self.own(number, field.kind, place, sent),
            JsonKind::Bool => match sent {
                Primitive::Bool(value) => {
                    self.varint(number, value.into());
                    Some(())
                }
                _ => None,
            },
            JsonKind::Int32 | JsonKind::Int64 => {
                let value = sent.whole().filter(|value| fits(field.kind, *value));
                // Negative numbers of 32 bits are extended to 64.
                value.map(|value| self.varint(number, value as i64 as u64))
            }
            JsonKind::Uint32 | JsonKind::Uint64 => {
                let value = sent.whole().filter(|value| fits(field.kind, *value));
                value.map(|value| self.varint(number, value as u64))
            }
            JsonKind::Sint32 | JsonKind::Sint64 => {
                let value = sent.whole().filter(|value| fits(field.kind, *value));
                value.map(|value| {
                    let value = value as i64;
                    self.varint(number, (value << 1 ^ value >> 63) as u64);
                })
            }
            JsonKind::Fixed32 | JsonKind::Sfixed32 => {
                let value = sent.whole().filter(|value| fits(field.kind, *value));
                value.map(|value| {
                    self.fixed(
                        number,
                        WireType::ThirtyTwoBit,
                        &(value as u32).to_le_bytes(),
                    )
                })
            }
            JsonKind::Fixed64 | JsonKind::Sfixed64 => {
                let value = sent.whole().filter(|value| fits(field.kind, *value));
                value.map(|value| {
                    self.fixed(
                        number,
                        WireType::SixtyFourBit,
                        &(value as u64).to_le_bytes(),
                    )
                })
            }
            JsonKind::Float => {
                let is_in_range = |value: &f64| !value.is_finite() || (*value as f32).is_finite();
                let value = sent.real().filter(is_in_range);
                value.map(|value| {
                    self.fixed(
                        number,
                        WireType::ThirtyTwoBit,
                        &(value as f32).to_le_bytes(),
                    )
                })
            }
            JsonKind::Double => {
                let value = sent.real();
                value.map(|value| self.fixed(number, WireType::SixtyFourBit, &value.to_le_bytes()))
            }
            JsonKind::Text => match sent {
                Primitive::Text(text) => {
                    encode_key(number, WireType::LengthDelimited, &mut self.out);
                    encode_varint(text.len() as u64, &mut self.out);
                    self.out.extend_from_slice(text.as_bytes());
                    Some(())
                }
                _ => None,
            },
            JsonKind::Bytes => match sent {
                Primitive::Text(text) => {
                    let began = base::open(&mut self.out, number);
                    let is_legal = base::put_base64(&mut self.out, text);
                    base::close(&mut self.out, began);
                    is_legal.then_some(())
                }
                _ => None,
            },
            JsonKind::Enum(place) => {
                let choices = self.types.choices(place);
                let value = match sent {
                    Primitive::Text(name) => choices.and_then(|choices| choices.number(name)),
                    _ => sent.whole().and_then(|value| i32::try_from(value).ok()),
                };
                value.map(|value| self.varint(number, i64::from(value) as u64))
            }
        };
        match written {
            Some(()) => Ok(()),
            None => Err(self.unexpected(field.kind, sent.described())),
        }
    }

    /// Writes a scalar as a message that has a form of its own.
    fn own<E: serde::de::Error>(
        &mut self,
        number: u32,
        kind: JsonKind,
        place: usize,
        sent: Primitive<'_>,
    ) -> Result<(), E> {
        match (self.own_form(place), sent) {
            (Some(OwnForm::Duration), Primitive::Text(text)) => {
                let Some((seconds, nanos)) = times::duration_of(text) else {
                    return Err(self.unexpected(kind, "another text"));
                };
                let began = base::open(&mut self.out, number);
                self.varint(1, seconds as u64);
                self.varint(2, i64::from(nanos) as u64);
                base::close(&mut self.out, began);
                Ok(())
            }
            (Some(OwnForm::Value), sent) => {
                self.own_value(number, sent);
                Ok(())
            }
            _ => Err(self.unexpected(kind, sent.described())),
        }
    }

    pub(super) fn varint(&mut self, number: u32, value: u64) {
        encode_key(number, WireType::Varint, &mut self.out);
        encode_varint(value, &mut self.out);
    }

    fn fixed(&mut self, number: u32, wire: WireType, bytes: &[u8]) {
        encode_key(number, wire, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn own_value(&mut self, number: u32, sent: Primitive<'_>) {
        let began = base::open(&mut self.out, number);
        match sent {
            Primitive::Bool(value) => self.varint(VALUE_BOOL, value.into()),
            Primitive::Text(text) => {
                encode_key(VALUE_TEXT, WireType::LengthDelimited, &mut self.out);
                encode_varint(text.len() as u64, &mut self.out);
                self.out.extend_from_slice(text.as_bytes());
            }
            Primitive::Unsigned(_) | Primitive::Signed(_) | Primitive::Real(_) => {
                let value = sent.real().unwrap_or_default();
                self.fixed(VALUE_NUMBER, WireType::SixtyFourBit, &value.to_le_bytes());
            }
        }
        base::close(&mut self.out, began);
    }
}

/// Whether a number is in the range of its kind.
fn fits(kind: JsonKind, value: i128) -> bool {
    match kind {
        JsonKind::Int32 | JsonKind::Sint32 | JsonKind::Sfixed32 => i32::try_from(value).is_ok(),
        JsonKind::Uint32 | JsonKind::Fixed32 => u32::try_from(value).is_ok(),
        JsonKind::Int64 | JsonKind::Sint64 | JsonKind::Sfixed64 => i64::try_from(value).is_ok(),
        JsonKind::Uint64 | JsonKind::Fixed64 => u64::try_from(value).is_ok(),
        _ => false,
    }
}
