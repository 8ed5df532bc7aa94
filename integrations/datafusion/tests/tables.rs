// SPDX-License-Identifier: Apache-2.0
//! Tests the tables that the programs build in pages: they must be those that `tpchgen-arrow` makes
//! in arrow's own memory.

use std::sync::Arc;

use aegis_memory::budget::MemoryBudget;
use aegis_memory_datafusion::tpch::{self, Table};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use tpchgen::generators::{CustomerGenerator, LineItemGenerator, OrderGenerator};
use tpchgen_arrow::{CustomerArrow, LineItemArrow, OrderArrow};

const SCALE: f64 = 0.01;

fn demand_equal(table: &Table, expected: impl Iterator<Item = Result<RecordBatch, ArrowError>>) {
    let expected: Vec<_> = expected.collect::<Result<_, _>>().unwrap();
    let expected = concat_batches(&expected[0].schema(), &expected).unwrap();
    let built = concat_batches(&table.schema, &table.batches).unwrap();
    assert_eq!(built.num_rows(), expected.num_rows());
    for (field, column) in table.schema.fields().iter().zip(built.columns()) {
        let theirs = expected.column_by_name(field.name()).expect("a column of TPC-H");
        let theirs = cast(theirs, field.data_type()).unwrap();
        assert_eq!(column, &theirs, "{}", field.name());
    }
}

#[test]
fn tables_in_pages_are_those_of_tpchgen_and_give_their_pages_back() {
    let budget = MemoryBudget::new("tables", MemoryBudget::UNLIMITED);
    let tables = tpch::tables(SCALE, &budget);
    let [customer, orders, lineitem] = &tables;
    demand_equal(customer, CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1)));
    demand_equal(orders, OrderArrow::new(OrderGenerator::new(SCALE, 1, 1)));
    demand_equal(lineitem, LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)));
    // Arrow's arrays are all that keeps the pages, and so the pool.
    let part = Arc::clone(lineitem.batches[0].column(0));
    assert!(budget.used() > 0);
    drop(tables);
    assert!(budget.used() > 0);
    drop(part);
    assert_eq!(budget.used(), 0);
}
