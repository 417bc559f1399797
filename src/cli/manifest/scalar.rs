//! What a scalar without quotes is: as `kubectl` reads it, which is YAML 1.1 and not 1.2.
//!
//! The difference is where manifests break: `on` is true, `010` is eight. Sexagesimals and dates stay texts there too.

use serde_json::Number;

use super::Content;

/// The value of an unquoted scalar.
pub fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Content::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Content::Bool(false),
        _ => number(text).map_or_else(|| Content::Text(text.to_owned()), Content::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0b") => (&digits[2..], 2),
        Some("0o") => (&digits[2..], 8),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    Number::from_i128(if negative { -magnitude } else { magnitude })
}

/// JSON has no infinities, and what is whole is written without a fraction, as `kubectl` does.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_float = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !is_float || power.is_empty() || !digits(power) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_what_kubectl_makes_of_them() {
        let number = |value: serde_json::Value| Content::Number(value.as_number().unwrap().clone());
        for (text, expected) in [
            ("", Content::Null),
            ("~", Content::Null),
            ("on", Content::Bool(true)),
            ("No", Content::Bool(false)),
            ("2", number(json!(2))),
            ("-1", number(json!(-1))),
            ("+3", number(json!(3))),
            ("1_000", number(json!(1000))),
            ("0x1F", number(json!(31))),
            ("010", number(json!(8))),
            ("0o17", number(json!(15))),
            ("1.5", number(json!(1.5))),
            ("1.0", number(json!(1))),
            (".5", number(json!(0.5))),
            ("1e3", number(json!(1000))),
            ("089", number(json!(89))),
            ("9223372036854775808", number(json!(9_223_372_036_854_775_808u64))),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        for text in ["1.0.0", "-", "+", ".", "1e", "25%", "12:30", "2026-11-25", "v1", "e5", "0x", "1.2e3.4", "é"] {
            assert_eq!(plain(text), Content::Text(text.to_owned()), "{text}");
        }
    }
}
