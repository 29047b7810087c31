/* choose.S: the part of the loader that chooses a slot, uses up its try, and goes on with the other one if it does not load.
 *
 * The block that says which one starts is on the disk twice (its bytes, and those of a boot partition's header:
 * slot_block.py). Both copies are read into the buffer; what is damaged, or of a version that is not known, is told and
 * does not count. With none, A starts.
 */
	.set block_size, 4096
	.set block_sectors, 8
	.set block_checksum, 4092
	.set header_buffer, 2 * block_size
	.set header_at, 128
	.set longest_arguments, 0x1f00
	.set wait_ticks, 546		/* 30 seconds, of 18.2 ticks */

/* Sets `slot` and `trial`. */
choose:
	movw	$buffer_segment, %ax
	movw	%ax, %fs
	xorw	%bx, %bx
	call	look_at_copy
	movw	$1, %bx
	call	look_at_copy
	movw	newest, %si
	testw	%si, %si
	jns	1f
	movw	$no_order, %si
	jmp	print			/* and A, as `slot` is 0 */
1:	movb	%fs:16(%si), %al	/* first */
	movb	%al, slot
	cmpb	$0, %fs:18(%si)		/* tries */
	je	9f
	movb	%fs:17(%si), %al	/* next */
	cmpb	$1, %al
	ja	9f

	/* The try is used up before anything of the slot runs. It goes over the older copy. */
	movb	slot, %dl
	movb	%dl, usual
	movb	%al, slot
	call	read_header
	movw	newest, %si
	movb	$0xff, %al
	jc	2f
	movb	slot, %al
2:	movb	%al, %fs:19(%si)	/* started: unless there is nothing to start */
	decb	%fs:18(%si)
	incl	%fs:12(%si)		/* sequence */
	movw	$block_checksum, %cx
	call	checksum
	movl	%eax, %fs:(%si)
	movw	newest, %ax
	movw	%ax, %bx
	shrw	$12, %bx
	xorw	$1, %bx
	call	aim
	movw	newest, %ax
	movw	%ax, packet_offset
	movw	$0x4300, %ax		/* without verification */
	call	transfer
	movw	$0, packet_offset
	movb	$1, trial
	jnc	9f
	movb	$0, trial
	movb	usual, %al
	movb	%al, slot
	movw	$unwritable, %si
	jmp	print
9:	ret

/* Reads copy %bx (0 or 1) into its place, and makes it `newest` if it is. */
look_at_copy:
	movb	%bl, copy
	call	aim
	shlw	$12, %bx
	movw	%bx, packet_offset
	movw	$0x4200, %ax
	call	transfer
	movw	packet_offset, %si
	movw	$0, packet_offset
	movw	$copy_unreadable, %di
	jc	7f
	movw	$copy_damaged, %di
	cmpl	$0x504d4f43, %fs:(%si)	/* "COMP" */
	jne	7f
	cmpl	$0x544f4c53, %fs:4(%si)	/* "SLOT" */
	jne	7f
	pushw	%si
	movw	$block_checksum, %cx
	call	checksum
	cmpl	%fs:(%si), %eax
	popw	%si
	jne	7f
	movw	$copy_unknown, %di
	cmpl	$1, %fs:8(%si)		/* version */
	jne	7f
	movw	$copy_damaged, %di
	cmpb	$1, %fs:16(%si)
	ja	7f
	movl	%fs:12(%si), %eax
	cmpw	$0, newest
	js	1f
	cmpl	%eax, newest_sequence
	jae	2f
1:	movl	%eax, newest_sequence
	movw	%si, newest
2:	ret
7:	movw	$about_copy, %si
	call	print
	movb	copy, %al
	addb	$'1', %al
	call	letter
	movw	%di, %si
	jmp	print

/* The next transfer is of copy %bx. */
aim:
	movw	%bx, %si
	shlw	$3, %si
	movl	blocks(%si), %eax
	movl	%eax, packet_sector
	movl	blocks + 4(%si), %eax
	movl	%eax, packet_sector + 4
	movw	$block_sectors, packet_count
	ret

/* CRC-32 of %cx bytes at %fs:%si into %eax; %si is behind them. */
checksum:
	movl	$-1, %eax
1:	xorb	%fs:(%si), %al
	incw	%si
	movb	$8, %dl
2:	shrl	$1, %eax
	jnc	3f
	xorl	$0xedb88320, %eax
3:	decb	%dl
	jnz	2b
	loop	1b
	notl	%eax
	ret

/* %si: the first sector of the slot's boot partition, with its id behind. */
slot_parameters:
	movw	$boot_a, %si
	cmpb	$0, slot
	je	1f
	movw	$boot_b, %si
1:	ret

/* Reads the header of the slot's boot partition; carry if there is none, with the reason at %di. */
read_header:
	call	slot_parameters
	movl	(%si), %eax
	movl	%eax, packet_sector
	movl	4(%si), %eax
	movl	%eax, packet_sector + 4
	movw	$1, packet_count
	movw	$header_buffer, packet_offset
	movw	$0x4200, %ax
	call	transfer
	movw	$0, packet_offset
	movw	$slot_unreadable, %di
	jc	9f
	movw	$slot_empty, %di
	movw	$header_buffer + header_at, %si
	cmpl	$0x504d4f43, %fs:(%si)	/* "COMP" */
	jne	8f
	cmpl	$0x544f4f42, %fs:4(%si)	/* "BOOT" */
	jne	8f
	cmpl	$1, %fs:8(%si)		/* version */
	jne	8f
	addw	$16, %si
	movw	$36, %cx
	call	checksum
	cmpl	%fs:header_buffer + header_at + 12, %eax
	jne	8f
	cmpl	$longest_arguments, %fs:header_buffer + header_at + 16 + 20
	ja	8f
	clc
	ret
8:	stc
9:	ret

/* Says which slot it is, and takes the places of its files; with none, goes on with the other one. */
select_slot:
	movw	$about_slot, %si
	call	print
	movb	slot, %al
	addb	$'A', %al
	call	letter
	movw	$on_trial, %si
	cmpb	$0, trial
	jne	1f
	movw	$newline, %si
1:	call	print
	call	read_header
	movw	%di, %si
	jc	fail_rest
	call	slot_parameters
	movw	$header_buffer + header_at + 16, %bx
	movw	$files, %di
	movw	$3, %cx
2:	movl	%fs:(%bx), %eax
	movl	%fs:4(%bx), %edx
	addl	(%si), %eax
	adcl	4(%si), %edx
	movl	%eax, (%di)
	movl	%edx, 4(%di)
	movl	%fs:8(%bx), %eax
	movl	%eax, 8(%di)
	addw	$12, %bx
	addw	$12, %di
	loop	2b
	ret

/* Adds what init has to know to the command line, whose end is %edi. */
tell_slot:
	movw	$setup_segment, %ax
	movw	%ax, %es		/* %di counts from here */
	movw	$slot_word, %si
	call	append
	call	slot_parameters
	addw	$8, %si
	movw	$36, %cx
	rep movsb
	movw	$trial_word, %si
	cmpb	$0, trial
	je	1f
	call	append
1:	xorw	%ax, %ax
	movw	%ax, %es
	ret

append:
	lodsb
	testb	%al, %al
	jz	1f
	stosb
	jmp	append
1:	ret

/* The slot does not load, and why has been printed: the other one, unless it has been tried too. */
next_slot:
	movw	$0x7c00, %sp
	movw	$newline, %si
	call	print
	movb	$0, trial
	xorb	$1, slot
	incb	attempts
	cmpb	$2, attempts
	jb	attempt
	movw	$no_slot, %si
	call	print

	/* Nobody may be there to press a key. */
	movl	0x46c, %ebx		/* the BIOS's count of ticks */
	addl	$wait_ticks, %ebx
1:	hlt
	movb	$1, %ah
	int	$0x16
	jnz	2f
	cmpl	%ebx, 0x46c
	jb	1b
2:	ljmp	$0xffff, $0

about_copy:
	.asciz	"compos: slots: copy "
copy_unreadable:
	.asciz	" of the order cannot be read\r\n"
copy_damaged:
	.asciz	" of the order is damaged\r\n"
copy_unknown:
	.asciz	" of the order is of a newer version\r\n"
no_order:
	.asciz	"compos: slots: the order is lost\r\n"
unwritable:
	.asciz	"compos: slots: the try cannot be noted on the disk, so there is none\r\n"
about_slot:
	.asciz	"compos: slot "
on_trial:
	.asciz	", on trial\r\n"
slot_unreadable:
	.asciz	"compos: its partition cannot be read"
slot_empty:
	.asciz	"compos: it has no system that a BIOS can start"
no_slot:
	.asciz	"compos: no slot starts. Press a key to restart; it restarts by itself in 30 seconds.\r\n"
slot_word:
	.asciz	" compos.slot="
trial_word:
	.asciz	",trial"

newest_sequence:
	.long	0
newest:	.word	-1
slot:	.byte	0
usual:	.byte	0
trial:	.byte	0
copy:	.byte	0
attempts: .byte	0
