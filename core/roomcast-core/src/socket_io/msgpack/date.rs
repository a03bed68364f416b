//! Points in time as `Date.prototype.toJSON` writes them.
//!
//! Owns: that form. Must never know: where a time comes from.

/// `2026-11-21T20:30:00.000Z`, of milliseconds since 1970; `None` outside of what a `Date` holds.
pub(super) fn iso(millis: i64) -> Option<String> {
    if millis.unsigned_abs() > MILLIS_MAX {
        return None;
    }
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.unsigned_abs()),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// Year, month and day in the Gregorian calendar, of days since 1970. Counted in eras of 400 years that begin on a first of
/// March, so that the day that some years have more is the last one.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

const DAY: i64 = 86_400_000;
/// ECMAScript's limit.
const MILLIS_MAX: u64 = 8_640_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// What Node prints.
    #[test]
    fn dates_are_written_as_javascript_does() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_293_000_123, "2026-11-21T20:30:00.123Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
            (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
            (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(millis).as_deref(), Some(expected));
        }
        assert_eq!([iso(8_640_000_000_000_001), iso(i64::MIN)], [None, None]);
    }
}
