package googlesql

// The syntax tree. Every node knows where it began.

// ident is an identifier as written.
type ident struct {
	name string
	at   pos
}

// expr is an expression node.
type expr interface{ pos() pos }

type node struct{ at pos }

func (n node) pos() pos { return n.at }

type (
	// pathExpr is a.b.c.
	pathExpr struct {
		node
		parts []ident
	}
	// litExpr is a literal: typ nil is NULL; an integer has its digits in text.
	litExpr struct {
		node
		kind Kind // 0: NULL
		text string
	}
	// typedLit is TYPE 'text'.
	typedLit struct {
		node
		kind Kind
		text string
	}
	paramExpr struct {
		node
		name string
	}
	unaryExpr struct {
		node
		op string // -, +, NOT, ~
		x  expr
	}
	binaryExpr struct {
		node
		op   string
		l, r expr
	}
	// isExpr is x IS [NOT] what; what is NULL, TRUE, FALSE or UNKNOWN.
	isExpr struct {
		node
		x    expr
		what string
		not  bool
	}
	betweenExpr struct {
		node
		x, lo, hi expr
		not       bool
	}
	// inExpr is x [NOT] IN (list | query) or IN UNNEST(array).
	inExpr struct {
		node
		x      expr
		list   []expr
		query  *query
		unnest expr
		not    bool
	}
	caseExpr struct {
		node
		operand expr // nil: searched
		whens   []whenClause
		els     expr
	}
	whenClause struct{ cond, then expr }
	castExpr   struct {
		node
		x    expr
		to   *Type
		safe bool
	}
	extractExpr struct {
		node
		part datePart
		x    expr
	}
	intervalExpr struct {
		node
		x    expr
		part datePart
	}
	arrayExpr struct {
		node
		elem  *Type // nil: inferred
		elems []expr
	}
	structExpr struct {
		node
		typ    *Type // nil: inferred
		names  []string
		values []expr
		tuple  bool // (a, b)
	}
	// subqueryExpr is (query), EXISTS(query) or ARRAY(query).
	subqueryExpr struct {
		node
		kind string // SCALAR, EXISTS, ARRAY
		q    *query
	}
	indexExpr struct {
		node
		x    expr
		mode string // OFFSET, SAFE_OFFSET, ORDINAL, SAFE_ORDINAL
		i    expr
	}
	fieldExpr struct {
		node
		x    expr
		name ident
	}
	callExpr struct {
		node
		name     string // upper case, dotted
		args     []expr
		part     *datePart // an argument that is a date part, always the last
		star     bool      // COUNT(*)
		distinct bool
		nulls    string // IGNORE, RESPECT or ""
		having   string // MAX, MIN or ""
		havingX  expr
		orderBy  []orderItem
		limit    expr
		over     *windowSpec
	}
)

// datePart is DAY, HOUR, WEEK(MONDAY), …
type datePart struct {
	name, weekday string
	at            pos
}

type windowSpec struct {
	at          pos
	base        string // name of a window it extends
	partitionBy []expr
	orderBy     []orderItem
	frame       *frame
}

type frame struct {
	unit       string // ROWS, RANGE
	start, end frameBound
}

type frameBound struct {
	kind string // UNBOUNDED PRECEDING, PRECEDING, CURRENT ROW, FOLLOWING, UNBOUNDED FOLLOWING
	x    expr
}

type orderItem struct {
	x     expr
	desc  bool
	nulls string // FIRST, LAST or ""
}

// query is [WITH …] body [ORDER BY …] [LIMIT …].
type query struct {
	at            pos
	with          []cte
	body          any // *selectStmt, *setOp or *query
	orderBy       []orderItem
	limit, offset expr
}

type cte struct {
	name ident
	q    *query
}

type setOp struct {
	at   pos
	op   string // UNION ALL, UNION DISTINCT, INTERSECT DISTINCT, EXCEPT DISTINCT
	l, r any
}

type selectStmt struct {
	at       pos
	distinct bool
	asStruct bool
	items    []selectItem
	from     fromItem // nil: no FROM
	where    expr
	groupBy  *groupBy
	having   expr
	qualify  expr
	windows  map[string]*windowSpec
}

type selectItem struct {
	at      pos
	star    bool
	x       expr // the expression, or what x.* expands
	alias   string
	except  []ident
	replace []selectItem
}

// groupBy is a list of grouping elements; ROLLUP, CUBE and GROUPING SETS are
// kept as sets of expressions.
type groupBy struct {
	exprs []expr   // plain list
	kind  string   // "", ROLLUP, CUBE, GROUPING SETS
	sets  [][]expr // of ROLLUP, CUBE (one expression list each) and GROUPING SETS
}

type fromItem interface{ pos() pos }

type (
	tableRef struct {
		node
		parts []ident
		alias string
	}
	unnestRef struct {
		node
		x           expr
		alias       string
		withOffset  bool
		offsetAlias string
	}
	subqueryRef struct {
		node
		q     *query
		alias string
	}
	joinRef struct {
		node
		kind  string // CROSS, INNER, LEFT, RIGHT, FULL
		l, r  fromItem
		on    expr
		using []ident
	}
)

// Statements other than a query.
type (
	insertStmt struct {
		at     pos
		target tableRef
		cols   []ident
		rows   [][]expr // nil element: DEFAULT
		q      *query
	}
	updateStmt struct {
		at     pos
		target tableRef
		set    []assignment
		from   fromItem
		where  expr
	}
	deleteStmt struct {
		at     pos
		target tableRef
		where  expr
	}
	truncateStmt struct {
		at     pos
		target tableRef
	}
	mergeStmt struct {
		at     pos
		target tableRef
		source fromItem
		on     expr
		whens  []mergeWhen
	}
	mergeWhen struct {
		at      pos
		matched string // MATCHED, NOT MATCHED, NOT MATCHED BY SOURCE
		cond    expr
		action  string // UPDATE, DELETE, INSERT, INSERT ROW
		set     []assignment
		cols    []ident
		values  []expr
	}
	assignment struct {
		col   ident
		value expr // nil: DEFAULT
	}
)
