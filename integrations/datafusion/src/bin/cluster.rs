// SPDX-License-Identifier: Apache-2.0
//! A cluster of Ballista on the loopback, of two processes: this one has the scheduler and the
//! client, and a second one is the executor. The executor's memory is a budget, as a single
//! process' is. The queries of TPC-H must have the answers that DataFusion gives without a cluster.
//!
//! Usage: cluster [SCALE [LIMIT_MIB]]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use aegis_memory::budget::MemoryBudget;
use aegis_memory_datafusion::{runtime_producer, tpch, BudgetPool};
use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{start_executor_process, ExecutorProcessConfig};
use ballista_scheduler::standalone::new_standalone_scheduler;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

type Error = Box<dyn std::error::Error + Send + Sync>;

const MIB: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "executor") {
        return executor(args[1].parse()?, &args[2], args[3].parse()?).await;
    }
    let number = |at: usize, otherwise: f64| {
        args.get(at).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (scale, limit) = (number(0, 0.1), (number(1, 28.0) * MIB as f64) as usize);
    let folder = Folder::new()?;
    let tables = tpch::tables(scale, &MemoryBudget::new("tables", MemoryBudget::UNLIMITED));
    let free = MemoryBudget::new("local", MemoryBudget::UNLIMITED);
    let config = tpch::frugal(SessionConfig::new());
    let local = tpch::context(&tables, config, Arc::new(BudgetPool::new(&free)))?;
    for table in &tables {
        let path = folder.file(table.name);
        let options = DataFrameWriteOptions::new().with_single_file_output(true);
        local.table(table.name).await?.write_parquet(&path, options, None).await?;
    }

    let scheduler = new_standalone_scheduler().await?;
    println!("process {}: scheduler at {scheduler}, and the client", std::process::id());
    let mut executor = Executor::start(scheduler.port(), &folder.0, limit)?;
    let config = tpch::frugal(SessionConfig::new_with_ballista());
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let url = format!("df://localhost:{}", scheduler.port());
    let remote = SessionContext::remote_with_state(&url, state).await?;
    for table in &tables {
        let path = folder.file(table.name);
        remote.register_parquet(table.name, &path, ParquetReadOptions::default()).await?;
    }
    let mut failed = false;
    for (name, sql) in tpch::QUERIES {
        let expected = tpch::run(&local, sql).await?;
        let answer = remote.sql(sql).await?.collect().await?;
        let text = datafusion::arrow::util::pretty::pretty_format_batches(&answer)?.to_string();
        let equal = text == expected.text;
        let word = if equal { "equal" } else { "DIFFERENT" };
        println!("{name:<4} {:>3} rows by the cluster, answers {word}", expected.rows);
        failed |= !equal;
    }
    failed |= !executor.stop()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The executor process: a usual executor of Ballista with a runtime whose memory pool is a budget.
async fn executor(scheduler_port: u16, folder: &str, limit: usize) -> Result<ExitCode, Error> {
    let process = Arc::new(MemoryBudget::new("executor process", 4 * limit));
    let queries = process.child("queries", limit);
    let picture = tpch::picture_of_peak(&process, &queries);
    let files = folder.to_owned();
    let produce = runtime_producer(&queries, move |builder| builder.with_temp_file_path(&files));
    // A port that is free now. The executor binds it again at once.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = ExecutorProcessConfig {
        port,
        scheduler_port,
        external_host: Some("localhost".to_owned()),
        scheduler_connect_timeout_seconds: 10,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        vcores: 2,
        work_dir: Some(folder.to_owned()),
        // Otherwise the executor would put a pool of its own into each runtime.
        memory_pool_size: Some(0),
        override_runtime_producer: Some(produce),
        ..ExecutorProcessConfig::default()
    };
    println!("process {}: executor at port {port}", std::process::id());
    let server = tokio::spawn(start_executor_process(Arc::new(config)));
    // The first process closes the pipe when it has the answers, or when it has ended.
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        ended = server => {
            ended??;
            return Err("the executor has stopped".into());
        }
        _ = closed => {}
    }
    let stats = queries.stats();
    println!(
        "\nThe executor's tree when its queries had most in use:\n{}\n\n{}\nrefusals: {}",
        picture.tree(),
        queries.peak_report(),
        stats.refused_count,
    );
    std::io::stdout().flush()?;
    // Ballista's own threads wait for the scheduler, so this does not return from `main`.
    std::process::exit(i32::from(stats.peak_bytes == 0))
}

/// The executor as a child process.
struct Executor(Child);

impl Executor {
    fn start(scheduler_port: u16, folder: &Path, limit: usize) -> Result<Self, Error> {
        let child = Command::new(std::env::current_exe()?)
            .args(["executor", &scheduler_port.to_string()])
            .arg(folder)
            .arg(limit.to_string())
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// Whether it ended well.
    fn stop(&mut self) -> Result<bool, Error> {
        drop(self.0.stdin.take());
        Ok(self.0.wait()?.success())
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("aegis-cluster-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn file(&self, table: &str) -> String {
        self.0.join(format!("{table}.parquet")).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
