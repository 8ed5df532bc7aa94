// SPDX-License-Identifier: Apache-2.0
//! What the programs of this crate run: the queries 1, 3, 6 and 18 of TPC-H, and the tables for
//! them. The columns are built in pages of a buffer pool, which are charged to a budget, and arrow
//! has the pages without a copy. So one tree of budgets counts both the tables and the queries.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{BufferMut, BufferPool, ScalarBuilder};
use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray,
};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{collect, ExecutionPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use tpchgen::generators::{CustomerGenerator, LineItemGenerator, OrderGenerator};

/// Rows of a batch. Eight thousand values of 16 bytes fill a page of 128 KiB.
const ROWS: usize = 8000;

/// The queries, by their numbers.
pub const QUERIES: [(&str, &str); 4] = [
    (
        "Q1",
        "select l_returnflag, l_linestatus, sum(l_quantity) as sum_qty,
                sum(l_extendedprice) as sum_base_price,
                sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
                sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
                avg(l_quantity) as avg_qty, avg(l_extendedprice) as avg_price,
                avg(l_discount) as avg_disc, count(*) as count_order
         from lineitem
         where l_shipdate <= date '1998-12-01' - interval '90' day
         group by l_returnflag, l_linestatus
         order by l_returnflag, l_linestatus",
    ),
    (
        "Q3",
        "select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate,
                o_shippriority
         from customer, orders, lineitem
         where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey
               and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15'
         group by l_orderkey, o_orderdate, o_shippriority
         order by revenue desc, o_orderdate
         limit 10",
    ),
    (
        "Q6",
        "select sum(l_extendedprice * l_discount) as revenue
         from lineitem
         where l_shipdate >= date '1994-01-01'
               and l_shipdate < date '1994-01-01' + interval '1' year
               and l_discount between 0.05 and 0.07 and l_quantity < 24",
    ),
    (
        "Q18",
        "select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) as quantity
         from customer, orders, lineitem
         where o_orderkey in (select l_orderkey from lineitem
                              group by l_orderkey having sum(l_quantity) > 300)
               and c_custkey = o_custkey and o_orderkey = l_orderkey
         group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
         order by o_totalprice desc, o_orderdate
         limit 100",
    ),
];

/// A table: its name and its batches.
pub struct Table {
    /// The name in the queries.
    pub name: &'static str,
    /// What its columns are.
    pub schema: SchemaRef,
    /// The rows, of which each batch but the last has the same number.
    pub batches: Vec<RecordBatch>,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// A column that is being built in pages.
enum Column {
    Int64(ScalarBuilder<i64>),
    Int32(ScalarBuilder<i32>),
    Date(ScalarBuilder<i32>),
    /// With two digits behind the point, 15 in all.
    Decimal(ScalarBuilder<i128>),
    Text(ScalarBuilder<i32>, BufferMut),
}

/// What a column of a table is. A text has the most bytes that it can have.
enum Kind {
    Int64,
    Int32,
    Date,
    Decimal,
    Text(usize),
}

impl Kind {
    fn data_type(&self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Int32 => DataType::Int32,
            Self::Date => DataType::Date32,
            Self::Decimal => DataType::Decimal128(15, 2),
            Self::Text(_) => DataType::Utf8,
        }
    }

    fn column(&self, pool: &BufferPool) -> Column {
        let page = |bytes| pool.get(bytes).expect("the pool grows");
        match self {
            Self::Int64 => Column::Int64(ScalarBuilder::new(page(ROWS * 8))),
            Self::Int32 => Column::Int32(ScalarBuilder::new(page(ROWS * 4))),
            Self::Date => Column::Date(ScalarBuilder::new(page(ROWS * 4))),
            Self::Decimal => Column::Decimal(ScalarBuilder::new(page(ROWS * 16))),
            Self::Text(longest) => {
                let mut offsets = ScalarBuilder::new(page((ROWS + 1) * 4));
                offsets.append(0);
                Column::Text(offsets, page(ROWS * longest))
            }
        }
    }
}

impl Column {
    fn int(&mut self, value: i64) {
        match self {
            Self::Int64(values) => values.append(value),
            Self::Int32(values) | Self::Date(values) => values.append(value as i32),
            Self::Decimal(values) => values.append(value.into()),
            Self::Text(..) => unreachable!("a text is no number"),
        }
    }

    fn text(&mut self, value: &dyn std::fmt::Display) {
        let Self::Text(offsets, bytes) = self else { unreachable!("a number is no text") };
        write!(bytes, "{value}").expect("the page has room for the longest texts");
        offsets.append(bytes.len() as i32);
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int64(values) => Arc::new(Int64Array::new(values.finish(), None)),
            Self::Int32(values) => Arc::new(Int32Array::new(values.finish(), None)),
            Self::Date(values) => Arc::new(Date32Array::new(values.finish(), None)),
            Self::Decimal(values) => {
                let array = Decimal128Array::new(values.finish(), None);
                Arc::new(array.with_precision_and_scale(15, 2).expect("it is in range"))
            }
            Self::Text(offsets, bytes) => {
                let offsets = OffsetBuffer::new(offsets.finish());
                Arc::new(StringArray::new(offsets, Buffer::from(bytes.freeze()), None))
            }
        }
    }
}

/// Makes a table: `fill` appends one row to the columns.
fn table<R>(
    name: &'static str,
    columns: &[(&str, Kind)],
    pool: &BufferPool,
    rows: impl Iterator<Item = R>,
    fill: impl Fn(&mut [Column], R),
) -> Table {
    let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), false));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (mut batches, mut rows) = (Vec::new(), rows.peekable());
    while rows.peek().is_some() {
        let mut builders: Vec<Column> = columns.iter().map(|(_, kind)| kind.column(pool)).collect();
        for row in rows.by_ref().take(ROWS) {
            fill(&mut builders, row);
        }
        let arrays = builders.into_iter().map(Column::finish).collect();
        batches
            .push(RecordBatch::try_new(Arc::clone(&schema), arrays).expect("it fits the schema"));
    }
    Table { name, schema, batches }
}

/// The three tables of the queries, with the columns that these use, in pages that are charged to
/// the budget.
pub fn tables(scale: f64, budget: &MemoryBudget) -> [Table; 3] {
    let classes = [8 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10];
    // Of pages of 128 KiB, LINEITEM has four in each batch. It has 6 million rows at scale factor 1.
    // A pool charges what it needs to find each of its most pages, so their number is not just large.
    let most = (scale * 6e6 / ROWS as f64 * 4.1) as usize + 64;
    let builder = BufferPool::builder();
    let builder = classes.into_iter().fold(builder, |all, size| all.class_growing(size, 8, most));
    let pool = builder.budget(budget).build().expect("memory for the first pages");
    let customer = table(
        "customer",
        &[("c_custkey", Kind::Int64), ("c_name", Kind::Text(20)), ("c_mktsegment", Kind::Text(10))],
        &pool,
        CustomerGenerator::new(scale, 1, 1).iter(),
        |columns, row| {
            columns[0].int(row.c_custkey);
            columns[1].text(&row.c_name);
            columns[2].text(&row.c_mktsegment);
        },
    );
    let orders = table(
        "orders",
        &[
            ("o_orderkey", Kind::Int64),
            ("o_custkey", Kind::Int64),
            ("o_totalprice", Kind::Decimal),
            ("o_orderdate", Kind::Date),
            ("o_shippriority", Kind::Int32),
        ],
        &pool,
        OrderGenerator::new(scale, 1, 1).iter(),
        |columns, row| {
            columns[0].int(row.o_orderkey);
            columns[1].int(row.o_custkey);
            columns[2].int(row.o_totalprice.into_inner());
            columns[3].int(row.o_orderdate.to_unix_epoch().into());
            columns[4].int(row.o_shippriority.into());
        },
    );
    let lineitem = table(
        "lineitem",
        &[
            ("l_orderkey", Kind::Int64),
            ("l_quantity", Kind::Decimal),
            ("l_extendedprice", Kind::Decimal),
            ("l_discount", Kind::Decimal),
            ("l_tax", Kind::Decimal),
            ("l_returnflag", Kind::Text(1)),
            ("l_linestatus", Kind::Text(1)),
            ("l_shipdate", Kind::Date),
        ],
        &pool,
        LineItemGenerator::new(scale, 1, 1).iter(),
        |columns, row| {
            columns[0].int(row.l_orderkey);
            columns[1].int(row.l_quantity * 100);
            columns[2].int(row.l_extendedprice.into_inner());
            columns[3].int(row.l_discount.into_inner());
            columns[4].int(row.l_tax.into_inner());
            columns[5].text(&row.l_returnflag);
            columns[6].text(&row.l_linestatus);
            columns[7].int(row.l_shipdate.to_unix_epoch().into());
        },
    );
    [customer, orders, lineitem]
}

/// Settings for a limit of a few MiB: joins that sort, and so can spill, and a small reserve for the
/// merge of what a sort has spilled, which is 10 MiB otherwise.
pub fn frugal(mut config: SessionConfig) -> SessionConfig {
    let options = config.options_mut();
    options.execution.target_partitions = 2;
    options.execution.sort_spill_reservation_bytes = 256 << 10;
    options.optimizer.prefer_hash_join = false;
    config
}

/// A context over the tables, whose operators ask this pool for memory.
pub fn context(
    tables: &[Table],
    config: SessionConfig,
    pool: Arc<dyn MemoryPool>,
) -> Result<SessionContext> {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    for table in tables {
        let partitions = vec![table.batches.clone()];
        let (schema, name) = (Arc::clone(&table.schema), table.name);
        let table = datafusion::datasource::MemTable::try_new(schema, partitions)?;
        context.register_table(name, Arc::new(table))?;
    }
    Ok(context)
}

/// What a query returned, and what its operators did for it.
pub struct Answer {
    /// The rows as a table of text.
    pub text: String,
    /// Number of rows.
    pub rows: usize,
    /// How often operators spilled, from their metrics.
    pub spills: usize,
    /// The bytes that they wrote to files, from their metrics.
    pub spilled_bytes: usize,
}

/// Runs a query.
pub async fn run(context: &SessionContext, sql: &str) -> Result<Answer> {
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let task: Arc<TaskContext> = context.task_ctx();
    let batches = collect(Arc::clone(&plan), task).await?;
    let (mut spills, mut spilled_bytes) = (0, 0);
    add_spills(&plan, &mut spills, &mut spilled_bytes);
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(Answer { text: pretty_format_batches(&batches)?.to_string(), rows, spills, spilled_bytes })
}

fn add_spills(plan: &Arc<dyn ExecutionPlan>, spills: &mut usize, bytes: &mut usize) {
    if let Some(metrics) = plan.metrics() {
        *spills += metrics.spill_count().unwrap_or(0);
        *bytes += metrics.spilled_bytes().unwrap_or(0);
    }
    for child in plan.children() {
        add_spills(child, spills, bytes);
    }
}

/// The drawn tree, and the use of its root, when a pressure callback saw the largest use.
#[derive(Clone, Default)]
pub struct Picture(Arc<Mutex<(usize, String)>>);

impl Picture {
    /// The tree as text; empty if half of the limit was never in use.
    pub fn tree(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Draws the tree from `root` when the use of a budget beneath rises to half of its limit or more,
/// and each time that the budget refuses. The picture with the largest use stays. The callbacks
/// belong to a budget of the tree, so they have a weak handle to its root.
pub fn picture_of_peak(root: &Arc<MemoryBudget>, watched: &MemoryBudget) -> Picture {
    let picture = Picture::default();
    for percent in [50, 75, 90, 95, 99] {
        let (picture, root) = (picture.clone(), Arc::downgrade(root));
        watched.on_pressure(percent, move |_| {
            let Some(root) = root.upgrade() else { return };
            let mut seen = picture.0.lock().unwrap_or_else(PoisonError::into_inner);
            let used = root.used();
            if used >= seen.0 {
                *seen = (used, root.to_string());
            }
        });
    }
    picture
}
