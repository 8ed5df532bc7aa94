// SPDX-License-Identifier: Apache-2.0
//! Where two lists of lines differ. A failed test shows this instead of both of them.
#![allow(dead_code)]

use std::fmt::Display;

/// Fails unless the lists are equal, with the items that only one of them has, and with what mends
/// it. Each list comes with its name.
#[track_caller]
pub fn assert_same<L: Display + PartialEq<R>, R: Display>(
    (left_name, left): (&str, &[L]),
    (right_name, right): (&str, &[R]),
    mend: &str,
) {
    let differences = differences(left_name, left, right_name, right);
    assert!(differences.is_empty(), "{left_name} and {right_name} differ:\n{differences}{mend}");
}

/// As [`assert_same`], of the lines of two texts.
#[track_caller]
pub fn assert_same_text(left: (&str, &str), right: (&str, &str), mend: &str) {
    // `lines` would not see whether the last line has an end.
    let lines = |text: &str| -> Vec<String> { text.split('\n').map(str::to_owned).collect() };
    assert_same((left.0, &lines(left.1)), (right.0, &lines(right.1)), mend);
}

/// The items that only one of the lists has, in order, each with its number. No two lists differ in
/// fewer items than are named.
pub fn differences<L: Display + PartialEq<R>, R: Display>(
    left_name: &str,
    left: &[L],
    right_name: &str,
    right: &[R],
) -> String {
    let same = |(l, r): &(&L, &R)| *l == *r;
    let head = left.iter().zip(right).take_while(same).count();
    let (left, right) = (&left[head..], &right[head..]);
    let tail = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let (left, right) = (&left[..left.len() - tail], &right[..right.len() - tail]);
    // The length of the longest list that both ends have in common, for every two of them.
    let mut common = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    for l in (0..left.len()).rev() {
        for r in (0..right.len()).rev() {
            common[l][r] = if left[l] == right[r] {
                common[l + 1][r + 1] + 1
            } else {
                common[l + 1][r].max(common[l][r + 1])
            };
        }
    }
    let (mut l, mut r, mut text) = (0, 0, String::new());
    while l < left.len() || r < right.len() {
        let goes_left = r == right.len() || l < left.len() && common[l + 1][r] >= common[l][r + 1];
        if l < left.len() && r < right.len() && left[l] == right[r] {
            (l, r) = (l + 1, r + 1);
        } else if goes_left {
            text += &format!("  only {left_name} ({}): {}\n", head + l + 1, left[l]);
            l += 1;
        } else {
            text += &format!("  only {right_name} ({}): {}\n", head + r + 1, right[r]);
            r += 1;
        }
    }
    text
}
