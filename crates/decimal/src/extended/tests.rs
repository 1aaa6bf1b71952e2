//! Sums that C on x86-64 gives, and properties that need no reference.

use swytch_testkit::Random;

use super::*;

fn sum(first: &str, second: &str) -> Option<String> {
    (Extended::parse(first.as_bytes())? + Extended::parse(second.as_bytes())?).format()
}

#[test]
fn sums_are_those_of_c_on_x86() {
    for (first, second, expect) in [
        ("0.1", "0.2", "0.3"),
        ("1", "0", "1"),
        ("3.0", "-3.0", "0"),
        ("-0", "0", "0"),
        ("-0", "-0", "0"),
        ("1.5", "-1.75", "-0.25"),
        ("3", "1.23", "4.23"),
        ("17179869184", "1.5", "17179869185.5"),
        ("5.0e3", "200", "5200"),
        ("1e19", "1", "10000000000000000001"),
        ("1e20", "1", "100000000000000000000"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("18446744073709551616", "1", "18446744073709551616"),
        ("18446744073709551616", "2", "18446744073709551618"),
        ("18446744073709551616", "3", "18446744073709551620"),
        ("10.00000000000000000005", "0", "10"),
        ("0.00000000000000000499", "0", "0"),
        ("0.00000000000000000501", "0", "0.00000000000000001"),
        ("-0.00000000000000000499", "0", "0"),
        ("0x1.8p1", "0X.8", "3.5"),
        ("+.5", "5.", "5.5"),
        ("1e-4940", "0", "0"),
    ] {
        assert_eq!(sum(first, second).as_deref(), Some(expect), "{first} + {second}");
    }
}

#[test]
fn infinite_sums_have_no_text() {
    for (first, second) in
        [("inf", "1"), ("1", "-Infinity"), ("+inf", "inf"), ("inf", "-inf"), ("1.1e4932", "1.1e4932")]
    {
        let both = Extended::parse(first.as_bytes()).zip(Extended::parse(second.as_bytes()));
        let (first, second) = both.expect("all of them are read");
        assert_eq!((first + second).format(), None);
    }
}

#[test]
fn only_whole_numbers_in_range_are_read() {
    for text in [
        "",
        " 1",
        "1 ",
        "abc",
        "1a",
        "1e",
        "1e+",
        "e5",
        ".",
        "-",
        "+",
        "--1",
        "0x",
        "0xg",
        "0x1p",
        "1.2.3",
        "nan",
        "infinit",
        "1e4933",
        "-1e5000",
        "1e-4960",
        "0x1p99999",
        "0x1p-99999",
        "1e99999999999999999999",
    ] {
        assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
    }
    for text in ["0e99999999999999999999", "-0.000", "0x0p9", "00000001", "1e-4945"] {
        assert!(Extended::parse(text.as_bytes()).is_some(), "{text:?}");
    }
    assert!(Extended::parse("1".repeat(EXTENDED_TEXT_MAX + 1).as_bytes()).is_none());
}

#[test]
fn the_largest_number_has_all_its_digits() {
    let text = sum("1.18973149535723176502e4932", "0").expect("it is finite");
    assert_eq!(text.len(), 4933);
    assert!(text.starts_with(
        "1189731495357231765021263853030970205169063322294624200440323733891737005522970722616410290336"
    ));
    assert_eq!(sum(&text, "0"), Some(text));
}

#[test]
fn short_and_long_reading_agree() {
    let mut random = Random::from_environment();
    for _ in 0..2000 {
        let digits = (random.next() >> random.below(60_u32)).max(1).to_string();
        if digits.len() > 19 || digits.ends_with('0') {
            continue;
        }
        let exponent = random.below(19_i64) - 18;
        let short = short_decimal(digits.as_bytes(), exponent).expect("it is short");
        assert_eq!(short, long_decimal(digits.as_bytes(), exponent), "{digits}e{exponent}");
    }
}

#[test]
fn seconds_in_milliseconds_are_rounded_up() {
    for (text, expect) in [
        ("0", 0),
        ("0.1", 100),
        ("0.001", 1),
        ("0.0000001", 1),
        ("-0.0000001", 0),
        ("-0.1", -100),
        ("1.0005", 1001),
        ("0x.01", 4),
        ("9223372036854775.807", i64::MAX.into()),
        ("1e30", 1000 * 10_i128.pow(30)),
        ("-1e30", -1000 * 10_i128.pow(30)),
        ("1e60", i128::MAX),
        ("-1e60", i128::MIN),
        ("inf", i128::MAX),
        ("-inf", i128::MIN),
    ] {
        let number = Extended::parse(text.as_bytes()).expect(text);
        let distance = number.thousandfold().abs_diff(expect);
        // Of the largest, 64 bits are exact.
        assert!(distance <= expect.unsigned_abs() >> 64, "{text}: {}", number.thousandfold());
    }
}
