//! Numbers as `%.{n}g` of C's printf writes them, which is how the language and its libraries do.

/// A finite number with so many significant digits at most, up to 15, as `%g` does.
pub(crate) fn general(value: f64, precision: usize) -> String {
    debug_assert!(precision <= 15, "a double tells so many digits apart");
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let precision = precision.max(1);
    // The fewest digits that name a number are those that it is rounded to, unless they are more than that.
    let mut scientific = format!("{:e}", value.abs());
    let digits_of =
        |text: &str| text.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    if digits_of(&scientific) > precision {
        scientific = format!("{:.*e}", precision - 1, value.abs());
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_at(1);
    let rest = rest.trim_start_matches('.').trim_end_matches('0');
    let mut text = String::with_capacity(24);
    if value < 0.0 {
        text.push('-');
    }
    let point = if rest.is_empty() { "" } else { "." };
    let zeros = |text: &mut String, count: usize| (0..count).for_each(|_| text.push('0'));
    match usize::try_from(exponent) {
        Ok(exponent) if exponent < precision => {
            let (whole, part) = rest.split_at(exponent.min(rest.len()));
            text.push_str(first);
            text.push_str(whole);
            zeros(&mut text, exponent - whole.len());
            if !part.is_empty() {
                text.push('.');
                text.push_str(part);
            }
        }
        Err(_) if exponent >= -4 => {
            text.push_str("0.");
            zeros(&mut text, exponent.unsigned_abs() as usize - 1);
            text.push_str(first);
            text.push_str(rest);
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            text.push_str(&format!("{first}{point}{rest}e{sign}{:02}", exponent.abs()));
        }
    }
    text
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
            (15.25, "15.25"),
            (1200.5, "1200.5"),
            (-0.00025, "-0.00025"),
            (0.30000000000000004, "0.3"),
            (-1.25e-7, "-1.25e-07"),
            (1e15, "1e+15"),
        ] {
            assert_eq!(general(value, 14), text);
        }
        assert_eq!(general(100_000.0, 7), "100000");
        assert_eq!(general(2.34159, 3), "2.34");
        assert_eq!(general(1234.5, 2), "1.2e+03");
    }
}
