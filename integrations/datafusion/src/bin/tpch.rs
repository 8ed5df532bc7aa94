// SPDX-License-Identifier: Apache-2.0
//! Runs four queries of TPC-H twice, without a limit and under one that makes Q18 spill, and demands
//! the same answers. Prints the tree of budgets as it was when the limited Q18 had most in use.
//!
//! Usage: tpch [SCALE [LIMIT_MIB]]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aegis_memory::budget::MemoryBudget;
use aegis_memory_datafusion::{tpch, BudgetPool};
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionConfig;

const MIB: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let mut number =
        |otherwise: f64| args.next().map_or(otherwise, |text| text.parse().expect("a number"));
    let (scale, limit) = (number(0.1), (number(28.0) * MIB as f64) as usize);

    let process = Arc::new(MemoryBudget::new("process", MemoryBudget::UNLIMITED));
    let tables = tpch::tables(scale, &process.child("tables", MemoryBudget::UNLIMITED));
    println!("TPC-H, scale factor {scale}, columns in pages of a buffer pool:");
    for table in &tables {
        println!("  {:<8} {:>8} rows in {} batches", table.name, table.rows(), table.batches.len());
    }
    let queries = process.child("queries", MemoryBudget::UNLIMITED);
    let (mut failed, mut pictures) = (false, Vec::new());
    for (name, sql) in tpch::QUERIES {
        let free = queries.child(&format!("{name} without limit"), MemoryBudget::UNLIMITED);
        let expected = run(&tables, &free, sql).await?;
        let tight = queries.child(name, limit);
        let picture = tpch::picture_of_peak(&process, &tight);
        let answer = run(&tables, &tight, sql).await?;
        let equal = expected.text == answer.text;
        println!(
            "{name:<4} {:>3} rows | no limit: peak {:>5.1} MiB, {} spills | limit {:.1} MiB: peak \
             {:>4.1} MiB, {} spills of {:.1} MiB, {} refusals | answers {}",
            answer.rows,
            mib(free.peak()),
            expected.spills,
            mib(limit),
            mib(tight.peak()),
            answer.spills,
            mib(answer.spilled_bytes),
            tight.stats().refused_count,
            if equal { "equal" } else { "DIFFERENT" },
        );
        failed |= !equal || (name == "Q18" && answer.spills == 0) || tight.used() != 0;
        if name == "Q18" {
            println!("\n{}\n", answer.text);
            let picture = picture.tree();
            pictures.push((picture, tight.peak_report().to_string()));
        }
    }
    for (tree, report) in pictures {
        println!("The tree when the limited Q18 had most in use:\n{tree}\n\n{report}\n");
    }
    println!("What DataFusion says when there is too little even for that:");
    let tiny = queries.child("Q18 with 256 KiB", MIB / 4);
    match run(&tables, &tiny, tpch::QUERIES[3].1).await {
        Err(error) => println!("  {error}"),
        Ok(_) => failed = true,
    }
    // The tasks of a query that has failed end a moment later.
    for _ in 0..100 {
        if queries.used() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    failed |= queries.used() != 0;
    println!("\nThe tree at the end:\n{process}");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / MIB as f64
}

async fn run(
    tables: &[tpch::Table],
    budget: &MemoryBudget,
    sql: &str,
) -> Result<tpch::Answer, DataFusionError> {
    let config = tpch::frugal(SessionConfig::new());
    let context = tpch::context(tables, config, Arc::new(BudgetPool::new(budget)))?;
    tpch::run(&context, sql).await
}
