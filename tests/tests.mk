# Tests. Included by the Makefile; everything lands in build/$(VARIANT)/.

PYTHON ?= /usr/bin/python3
CHECK_PKGS := check
CHECK_CFLAGS = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(CHECK_PKGS)))
CHECK_LIBS = $(shell $(PKG_CONFIG) --libs $(CHECK_PKGS))
# Forking a sanitizer's process for every test multiplies the time, and hides
# races; what a sanitizer finds ends the run.
CK_ENV_asan := CK_FORK=no
CK_ENV_tsan := CK_FORK=no setarch -R
# Against what hangs; check's own 4 s are too few where the machine is busy.
RUN_CHECK = env WPCRON_BUILD=$(B) CK_DEFAULT_TIMEOUT=120 $(CK_ENV_$(VARIANT))

DB_TEST_SRC := $(wildcard tests/db/*.c)
DRIVER_SRC := $(wildcard tests/drivers/*.c)
DRIVERS := $(patsubst tests/drivers/%.c,$(B)/drivers/%,$(DRIVER_SRC))
CHECK_OBJ := $(call obj,$(UNIT_SRC) $(DB_TEST_SRC))
TEST_OBJ := $(CHECK_OBJ) $(call obj,$(DRIVER_SRC))

$(CHECK_OBJ): CPPFLAGS += $(CHECK_CFLAGS)
-include $(filter-out $(ALL_OBJ:.o=.d),$(TEST_OBJ:.o=.d))

$(B)/test_unit: $(call obj,$(UNIT_SRC)) $(B)/libwpcron.a
	@echo "  LD    $@"; $(CC) $(LDFLAGS_ALL) -o $@ $^ $(CHECK_LIBS) $(LIBS)

$(B)/test_db: $(call obj,$(DB_TEST_SRC)) $(B)/libwpcron.a
	@echo "  LD    $@"; $(CC) $(LDFLAGS_ALL) -o $@ $^ $(CHECK_LIBS) $(LIBS)

$(B)/drivers/%: $(B)/tests/drivers/%.o $(B)/libwpcron.a
	@mkdir -p $(@D); echo "  LD    $@"; \
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -Wl,--as-needed $(LIBS_SERVER) $(LIBS)

# Seconds: no server, no network but loopback.
check: $(B)/test_unit $(B)/drivers/receiver
	@$(RUN_CHECK) $(B)/test_unit

# C suites against a private MariaDB; WPCRON_DB_* tell them where it is.
check-db: $(B)/test_db
	@$(PYTHON) tests/integration/with_db.py $(RUN_CHECK) $(B)/test_db

drivers: $(DRIVERS)

# Real MariaDB, nginx, php-fpm and WordPress in a private directory.
# TESTS="test_file[.Class[.test]] ..." selects.
integration: all drivers check-db
	@VARIANT=$(VARIANT) $(PYTHON) tests/integration/run.py $(TESTS)

test: check integration

bench: all drivers
	@VARIANT=$(VARIANT) $(PYTHON) tests/bench/run.py $(BENCH)

SOAK_SECONDS ?= 3600
soak: all drivers
	@VARIANT=$(VARIANT) SOAK_SECONDS=$(SOAK_SECONDS) \
	$(PYTHON) tests/integration/run.py --pattern 'soak_*.py' --timeout 1e9 $(TESTS)

demo: all
	@tools/demo $(DEMO)

.PHONY: check check-db drivers integration test bench soak demo
