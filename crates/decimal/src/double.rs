//! Doubles in decimal.

/// A double as Redis 7 and later write it: integers without a fraction, `inf`, `nan`, else the
/// shortest digits that read back as the same value, with an exponent outside 1e-5..1e17.
pub fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let magnitude = value.abs();
    if (1e-5..1e17).contains(&magnitude) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent:0>2}"),
        Some((digits, exponent)) => format!("{digits}e-{:0>2}", &exponent[1..]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_short() {
        for (value, expect) in [
            (0.1, "0.1"),
            (3.0, "3"),
            (1e17, "1e+17"),
            (1e-7, "1e-07"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
            (123456789.125, "123456789.125"),
        ] {
            assert_eq!(format_double(value), expect);
        }
    }
}
