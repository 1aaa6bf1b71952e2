//! Numbers as `%.{n}g` of C's printf writes them, which is how the language and its libraries do.

/// A finite number with so many significant digits at most, as `%g` does.
pub(crate) fn general(value: f64, precision: usize) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let precision = precision.max(1);
    // What the rounded number's exponent is decides the form.
    let scientific = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// A number without what is superfluous behind its point.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn numbers_are_written_as_c_does() {
        for (value, text) in [
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e14, "1e+14"),
            (99999999999999.0, "99999999999999"),
            (123456789012345.0, "1.2345678901234e+14"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e300, "1e+300"),
            (9.99999999999999999, "10"),
            (-0.0, "-0"),
        ] {
            assert_eq!(general(value, 14), text);
        }
        assert_eq!(general(2.34159, 3), "2.34");
        assert_eq!(general(1234.5, 2), "1.2e+03");
    }
}
