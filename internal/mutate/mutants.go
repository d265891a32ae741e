package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	file    string
	at      token.Position
	what    string
	changed []byte // the whole file
	race    bool   // only the race detector may notice
}

func (m mutant) place() string { return fmt.Sprintf("%s:%d:%d", m.file, m.at.Line, m.at.Column) }

func (m mutant) String() string { return m.place() + " " + m.what }

// mutants returns all changes of the package in dir, tests left out.
func mutants(dir string) ([]mutant, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no Go files", dir)
	}
	var out []mutant
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") || filepath.Base(n) == "doc.go" {
			continue
		}
		src, err := os.ReadFile(n)
		if err != nil {
			return nil, err
		}
		ms, err := mutantsOf(n, src)
		if err != nil {
			return nil, err
		}
		out = append(out, ms...)
	}
	return out, nil
}

// edit replaces the bytes from one offset to another.
type edit struct {
	from, to int
	text     string
}

// finder walks one file.
type finder struct {
	file string
	src  []byte
	set  *token.FileSet
	out  []mutant
}

func mutantsOf(file string, src []byte) ([]mutant, error) {
	f := &finder{file: filepath.ToSlash(file), src: src, set: token.NewFileSet()}
	tree, err := parser.ParseFile(f.set, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range tree.Decls {
		// Declarations outside functions are mostly tables and settings, whose numbers are mostly settings too.
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && fn.Name.Name != "String" && fn.Name.Name != "Error" {
			f.function(fn.Body)
		}
	}
	return f.out, nil
}

var swaps = map[token.Token]token.Token{
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL,
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN,
}

func (f *finder) function(body *ast.BlockStmt) {
	locks := map[string][]edit{} // by the text of what is locked
	where := map[string]token.Pos{}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.SelectorExpr); ok && (id.Sel.Name == "Errorf" || id.Sel.Name == "New") {
				return false // the words of a message
			}
		case *ast.BinaryExpr:
			f.swap(n.OpPos, n.Op)
		case *ast.AssignStmt:
			f.swap(n.TokPos, n.Tok)
		case *ast.UnaryExpr:
			if n.Op == token.SUB {
				f.add(n.OpPos, "drops the sign", false, f.cut(n.OpPos, n.OpPos+1, " "))
			}
		case *ast.BasicLit:
			if v, err := strconv.Atoi(n.Value); err == nil && n.Kind == token.INT {
				f.add(n.Pos(), fmt.Sprintf("%d becomes %d", v, v+1), false, f.cut(n.Pos(), n.End(), strconv.Itoa(v+1)))
			}
		case *ast.IfStmt:
			if !errCheck(n.Cond) {
				f.add(n.Cond.Pos(), "negates the condition", false, f.cut(n.Cond.Pos(), n.Cond.Pos(), "!("), f.cut(n.Cond.End(), n.Cond.End(), ")"))
			}
		case *ast.ReturnStmt:
			if k := len(n.Results); k > 0 {
				if id, ok := n.Results[k-1].(*ast.Ident); ok && id.Name == "err" {
					f.add(id.Pos(), "returns nil instead of err", false, f.cut(id.Pos(), id.End(), "nil"))
				}
			}
		case *ast.DeferStmt:
			f.lock(locks, where, n, n.Call)
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok {
				f.lock(locks, where, n, call)
			}
		}
		return true
	})
	for text, edits := range locks {
		f.add(where[text], "drops "+text+".Lock and Unlock", true, edits...)
	}
}

// lock notes a statement that locks or unlocks.
func (f *finder) lock(locks map[string][]edit, where map[string]token.Pos, stmt ast.Node, call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) > 0 {
		return
	}
	switch sel.Sel.Name {
	case "Lock", "Unlock", "RLock", "RUnlock":
		text := string(f.src[f.offset(sel.X.Pos()):f.offset(sel.X.End())])
		locks[text] = append(locks[text], f.cut(stmt.Pos(), stmt.End(), ""))
		if _, ok := where[text]; !ok {
			where[text] = stmt.Pos()
		}
	}
}

// errCheck says whether a condition only asks for an error, which a test of the good way notices at once.
func errCheck(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok {
		return false
	}
	x, ok := b.X.(*ast.Ident)
	return ok && x.Name == "err"
}

func (f *finder) swap(pos token.Pos, op token.Token) {
	to, ok := swaps[op]
	if !ok {
		return
	}
	f.add(pos, fmt.Sprintf("%s becomes %s", op, to), false, f.cut(pos, pos+token.Pos(len(op.String())), to.String()))
}

func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }

func (f *finder) cut(from, to token.Pos, text string) edit {
	return edit{f.offset(from), f.offset(to), text}
}

// add keeps a change; the edits are in the order of the file.
func (f *finder) add(pos token.Pos, what string, race bool, edits ...edit) {
	var b bytes.Buffer
	at := 0
	for _, e := range edits {
		b.Write(f.src[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	b.Write(f.src[at:])
	if _, err := format.Source(b.Bytes()); err != nil {
		return // the change is no Go
	}
	f.out = append(f.out, mutant{file: f.file, at: f.set.Position(pos), what: what, changed: b.Bytes(), race: race})
}
