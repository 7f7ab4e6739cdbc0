# What machines can hold us to. `make lint` takes seconds, `make -j tidy` a
# minute or two.

C_FILES := $(sort $(wildcard fcgi/*.c fcgi/*/*.c fcgi/*/*/*.c sql/*.c \
	tools/ctl/*.c \
	tests/*/*.c))
H_FILES := $(sort $(wildcard fcgi/*/*.h fcgi/*/*/*.h sql/*.h tools/ctl/*.h \
	tests/*.h \
	tests/*/*.h))
PRODUCT_C := $(sort $(wildcard fcgi/*.c fcgi/*/*.c fcgi/*/*/*.c sql/*.c \
	tools/ctl/*.c))
SHELL_FILES = $(shell grep -lE '^\#!.*\bsh$$|^\#!.*bash' .ci/* tools/* \
	tests/*.sh 2>/dev/null)
PHP_SOURCES := $(wildcard fcgi/php/*.php tests/fixtures/*/*/*.php \
	tests/*/*.php)
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
CPPCHECK ?= cppcheck

lint: lint-layers lint-sql lint-headers lint-size lint-shell lint-php \
	lint-python lint-readme lint-statements format-check

# Includes never point upward; foreign types stay in their folder.
lint-layers:
	@awk -f tests/layers.awk $(PRODUCT_C) \
	    $(wildcard fcgi/*/*.h fcgi/*/*/*.h sql/*.h)

# SQL stands in sql/*.sql, and names its columns.
lint-sql:
	@! grep -nE '"[^"]*\b(SELECT [A-Za-z`*@]|INSERT (IGNORE )?INTO |DELETE FROM |REPLACE INTO |UPDATE [^"]* SET )' \
	    $(filter-out $(wildcard tests/%),$(PRODUCT_C)) /dev/null
	@! grep -nE 'SELECT +([a-z]\.)?\*' $(SQL_SRC) $(PRODUCT_C) /dev/null
	@awk '/^-- name: /{ if (seen[$$3]++) { bad = 1; \
	    print FILENAME ": name twice: " $$3 } } END { exit bad }' \
	    $(SQL_SRC) /dev/null

# Every header compiles alone.
lint-headers: $(GEN_H)
	@for h in $(filter-out %/suites.h,$(H_FILES)); do \
	    printf '#include "%s"\n' "$$h" | $(CC) $(CPPFLAGS) -Itests \
	    $(CHECK_CFLAGS) $(CFLAGS_ALL) -Werror -Wno-unused-function \
	    -fsyntax-only -x c - || { echo "$$h does not stand alone"; \
	    exit 1; }; done

lint-size:
	@awk -v max=100 -f tests/function_size.awk $(PRODUCT_C) /dev/null
	@awk 'FNR == 651 { bad = 1; print FILENAME ": over 650 lines" } \
	    END { exit bad }' $(PRODUCT_C) /dev/null

lint-shell:
	@! command -v shellcheck >/dev/null || [ -z "$(SHELL_FILES)" ] || \
	    shellcheck $(SHELL_FILES)

lint-php:
	@for f in $(PHP_SOURCES); do php -l "$$f" >/dev/null || exit 1; done

lint-python:
	@$(PYTHON) -c 'import ast, sys; \
	    [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' \
	    $(wildcard tests/*/*.py tests/*/*/*.py)

# What the generator of statements refuses, and which client symbols are used.
lint-statements: $(B)/libwpcron.a
	@tests/lint/statements.sh
	@tests/lint/mysql_symbols.sh $(call obj,$(wildcard sql/*.c))

# Every option, command and log event stands in the reference.
lint-readme:
	@tests/lint/readme.sh

format:
	$(CLANG_FORMAT) -i $(C_FILES) $(H_FILES)

format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES) $(H_FILES)

TIDY_CHECKS := -*,clang-analyzer-*,bugprone-*,cert-err33-c,cert-err34-c,concurrency-mt-unsafe,misc-redundant-expression,misc-unused-parameters,readability-function-size,readability-function-cognitive-complexity,readability-duplicate-include,readability-inconsistent-declaration-parameter-name,readability-redundant-*,-bugprone-easily-swappable-parameters,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

# A target a file, so that -j has something to share out.
TIDY := $(PRODUCT_C:%=tidy/%)

tidy: $(TIDY) tidy-cppcheck

# clang-tidy counts the warnings it suppressed on standard error.
$(TIDY): tidy/%: $(GEN_H)
	@$(CLANG_TIDY) --quiet --warnings-as-errors='*' \
	    --checks='$(TIDY_CHECKS)' $* -- $(CPPFLAGS) -std=c11 2>/dev/null

tidy-cppcheck: $(GEN_H)
	@$(CPPCHECK) --quiet --error-exitcode=1 --inline-suppr \
	    --enable=warning,portability --std=c11 -D_DEFAULT_SOURCE \
	    -Ifcgi -I. -I$(B)/gen $(PRODUCT_C)

.PHONY: lint lint-layers lint-sql lint-headers lint-size lint-shell \
	lint-php lint-python lint-readme lint-statements format format-check \
	tidy tidy-cppcheck $(TIDY)
