# wp-cron-fcgi - GNU make. `make help` lists the targets.
#
#   VARIANT   release (default), debug, asan, tsan
#   WERROR=1  warnings are errors
#   CC        gcc or clang

VARIANT ?= release
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
VERSION := 0.1.0

B := build/$(VARIANT)
PKGS := libmariadb libcurl libcrypto jansson libarchive gmime-3.0 libidn2
PKG_CONFIG ?= pkg-config

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla -Wconversion \
	-Wnull-dereference -Wdate-time -fno-common
ifeq ($(WERROR),1)
WARN += -Werror
endif

CPPFLAGS += -D_DEFAULT_SOURCE -Ifcgi -I. -I$(B)/gen \
	-DVERSION='"$(VERSION)"' -DPREFIX='"$(PREFIX)"' \
	-include base/banned.h \
	$(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PKGS)))
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	-fstack-clash-protection -fPIE
LDFLAGS_release := -pie -Wl,-z,relro,-z,now
CFLAGS_debug := -O0 -g3
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
LDFLAGS_asan := -fsanitize=address,undefined
CFLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_tsan := -fsanitize=thread
CFLAGS_ALL := -std=c11 $(WARN) $(CFLAGS_$(VARIANT)) -pthread $(CFLAGS)
LDFLAGS_ALL := $(LDFLAGS_$(VARIANT)) -pthread $(LDFLAGS)
LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)) -linih -lm
LIBS_SERVER := -lfcgi

LAYERS := fcgi/base sql fcgi/formats fcgi/wire fcgi/wordpress \
	fcgi/executors fcgi/executors/esp fcgi/queues fcgi/engine
LIB_SRC := $(foreach d,$(LAYERS),$(wildcard $(d)/*.c)) $(B)/gen/sql/statements.c
SERVER_SRC := $(wildcard fcgi/server/*.c)
CTL_SRC := $(wildcard tools/ctl/*.c)
UNIT_SRC := $(wildcard tests/unit/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
SQL_SRC := $(sort $(wildcard sql/*.sql))
GEN_H := $(B)/gen/sql/statements.h

obj = $(patsubst %.c,$(B)/%.o,$(patsubst $(B)/%,%,$(1)))
LIB_OBJ := $(call obj,$(LIB_SRC))
SERVER_OBJ := $(call obj,$(SERVER_SRC))
ALL_OBJ := $(LIB_OBJ) $(SERVER_OBJ) $(call obj,fcgi/main.c $(CTL_SRC) $(UNIT_SRC))

all: $(B)/wp-cron-fcgi $(B)/wp-cronctl
	@mkdir -p build && ln -sf $(VARIANT)/wp-cron-fcgi $(VARIANT)/wp-cronctl build/

# ---- compile -----------------------------------------------------------

$(B)/libwpcron.a: $(LIB_OBJ)
	@rm -f $@; $(AR) rcs $@ $^

$(B)/wp-cron-fcgi: $(call obj,fcgi/main.c) $(SERVER_OBJ) $(B)/libwpcron.a
	@echo "  LD    $@"; $(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_SERVER) $(LIBS)

$(B)/wp-cronctl: $(call obj,$(CTL_SRC)) $(B)/libwpcron.a
	@echo "  LD    $@"; $(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(B)/%.o: %.c $(GEN_H)
	@mkdir -p $(@D); echo "  CC    $<"; \
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D); echo "  CC    $<"; \
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The installed worker.php is named by PREFIX: another one, compile again.
$(B)/gen/prefix: FORCE
	@mkdir -p $(@D); echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' > $@

$(call obj,fcgi/engine/executors.c fcgi/engine/work.c $(CTL_SRC)): $(B)/gen/prefix

# One enum and one table of all statements, from the .sql files.
$(B)/gen/sql/statements.h $(B)/gen/sql/statements.c &: $(SQL_SRC) sql/statements.awk
	@mkdir -p $(@D); echo "  GEN   $@"; \
	awk -v what=h -f sql/statements.awk $(SQL_SRC) > $(B)/gen/sql/statements.h && \
	awk -v what=c -f sql/statements.awk $(SQL_SRC) > $(B)/gen/sql/statements.c

-include $(ALL_OBJ:.o=.d)

include $(wildcard tests/*.mk tools/*.mk)

.DELETE_ON_ERROR:
.PHONY: all FORCE
